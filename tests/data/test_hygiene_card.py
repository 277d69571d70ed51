"""The data card: what it counts, how it is stored and how it is shown."""

from __future__ import annotations

import json
import math
from dataclasses import astuple, replace
from pathlib import Path

import pytest

from ablate.data.hygiene.card import Card, CardBuilder, Spread, faults
from ablate.data.hygiene.check import Check
from ablate.data.records import (
    Demonstration,
    Dropped,
    Feedback,
    Judged,
    Pair,
    Prompt,
    Ranking,
    RatedReply,
    user,
)
from ablate.data.shaping.items import Item
from ablate.data.shaping.ledger import Ledger


def built(*items: Item | Dropped) -> Card:
    builder = CardBuilder("a set")
    for item in items:
        builder.add(item)
    return builder.card()


def pair(row: int, chosen: str, source: str = "s") -> Judged:
    return Judged(Pair(f"{source}-{row}", user("one two"), chosen, "three", source=source))


def test_rows_are_counted_by_what_they_hold() -> None:
    two_turns = [*user("hm"), {"role": "assistant", "content": "so"}, *user("and")]
    card = built(
        pair(1, "x"),
        Judged(Pair("s-2", user("q"), "a", "b", "code", None, 1.0, "s", 2.0, 1.0)),
        Judged(ranking=Ranking("s-3", user("q"), ("a", "b", "c"), source="s")),
        Judged(rated=(RatedReply("s-4", user("q"), "a", {"helpful": 1.0}, source="s"),)),
        Judged(feedback=Feedback("t-1", two_turns, "a", liked=True, source="t")),
        Demonstration(user("q"), "a", id="t-2", source="t"),
        Prompt("t-3", user("q"), target="4", source="t"),
        Dropped(8, "empty_chosen"),
    )

    assert (card.rows, card.sources, card.dropped) == (7, {"s": 4, "t": 3}, {"empty_chosen": 1})
    assert card.holds == {
        "categories": 1,
        "margins": 1,
        "pairs": 2,
        "rankings": 1,
        "ratings": 1,
        "scores of both replies": 1,
        "several turns": 1,
        "targets": 1,
        "thumbs up": 1,
    }


def test_lengths_are_those_of_each_part() -> None:
    # Chosen replies of 1 to 20 words of one letter: mean and median 10.5; the 95 % quantile lies
    # at 1 + 0.95 * 19 = 19.05; n words are 2n - 1 characters.
    card = built(*(pair(n, " ".join("x" * n)) for n in range(1, 21)))
    lengths = {part.part: part for part in card.lengths}

    assert lengths.keys() == {"prompt", "chosen", "rejected"}
    chosen = lengths["chosen"]
    assert astuple(chosen.words) == pytest.approx((10.5, 10.5, 19.05, 20))
    assert astuple(chosen.characters) == pytest.approx((20.0, 20.0, 37.1, 39))
    assert lengths["rejected"].words == Spread(1, 1, 1, 1) and lengths["prompt"].texts == 20


def test_many_rows_give_the_same_card_as_a_few_at_a_time() -> None:
    rows = [pair(n, f"word {n} " * 300) for n in range(400)]
    builder = CardBuilder("a set")
    for row in rows:
        builder.add(row)
        builder.card()  # Looks at what waits, and changes nothing.

    assert builder.card() == built(*rows)


def test_a_ledger_says_what_was_left_out_before(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.read["s"] = 9
    ledger.drop(Dropped(3, "empty_chosen"), "s")
    ledger.filtered(pair(4, "x"), "length")
    step = ledger.step("length")
    step.before, step.after = 9, 8
    builder = CardBuilder("a set")
    builder.add(pair(1, "x"))

    card = builder.card(ledger=ledger, checks=[Check("more", "warn", "said")])

    assert card.dropped == {"empty_chosen": 1, "filter:length": 1} and card.filters == (step,)
    # What a filter was asked to leave out is no fault: one row of ten is.
    assert card.checks[0].found == "1 of 10 rows were left out: 1 empty_chosen"
    assert card.checks[-1] == Check("more", "warn", "said")


def test_a_card_is_stored_and_read_back(tmp_path: Path) -> None:
    card = built(pair(1, "na\u00efve \x1b[0m \u202e \ud800"), Dropped(2, "empty_prompt"))

    text = card.to_json()

    assert text.isascii() and "NaN" not in text
    assert json.loads(text)["checks"][1]["value"] is None  # No scores, so no label direction.
    assert Card.from_json(text).to_json() == text
    again = Card.from_json(text)
    assert math.isnan(again.checks[1].value)
    assert replace(again, checks=()) == replace(card, checks=())


def test_an_empty_set_has_a_card() -> None:
    card = built()

    assert (card.rows, card.lengths, card.example) == (0, (), ())
    assert Card.from_json(card.to_json()).to_json() == card.to_json()


def test_rows_of_a_held_out_part_are_no_faults() -> None:
    dropped = {"filter:duplicates": 2, "in_test_part": 3, "empty_chosen": 4}
    assert faults(dropped) == {"empty_chosen": 4}
