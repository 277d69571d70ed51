"""One view of preferences, demonstrations and prompts."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from ablate.data.shaping.items import (
    Item,
    as_demonstration,
    as_prompt,
    from_json,
    of_kind,
    preferred_of,
    prompt_key,
    replies_of,
    row_key,
    row_number,
    source_of,
    to_json,
    with_replies,
)
from ablate.data.shaping.ledger import Ledger
from ablate.errors import StageError

texts = st.text(max_size=12)
unsaid = st.none() | texts
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
message = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": texts}
)
prompts = st.lists(message, max_size=3).map(tuple)
said: dict[str, Any] = {"category": unsaid, "world": unsaid, "source": texts}
pairs = st.builds(
    Pair, texts, prompts, texts, texts,
    margin=numbers, chosen_score=numbers, rejected_score=numbers, **said,
)  # fmt: skip
rankings = st.builds(Ranking, texts, prompts, st.lists(texts, min_size=2).map(tuple), **said)
ratings = st.dictionaries(texts, st.floats(allow_nan=False, allow_infinity=False), max_size=3)
rated = st.builds(RatedReply, texts, prompts, texts, ratings, **said)
feedback = st.builds(Feedback, texts, prompts, texts, st.booleans(), **said)
judged = st.builds(
    Judged,
    st.none() | pairs,
    st.none() | rankings,
    st.lists(rated, max_size=2).map(tuple),
    st.none() | feedback,
)
demonstrations = st.builds(Demonstration, prompts, texts, unsaid, texts, texts)
prompt_rows = st.builds(Prompt, texts, prompts, target=unsaid, **said)


@settings(max_examples=200, deadline=None)
@given(judged | demonstrations | prompt_rows)
def test_a_row_survives_its_line_of_json(item: Item) -> None:
    line = to_json(item)
    assert "\n" not in line
    assert from_json(line) == item


def test_line_separators_and_a_shared_prompt_survive() -> None:
    prompt = user("a\u2028b\u2029c\x85d\r\n\0")
    item = Judged(
        Pair("s-1", prompt, "x\u2028", "y", margin=0.1),
        Ranking("s-1", prompt, ("x\u2028", "y")),
        (RatedReply("s-1", prompt, "y", {"help\u2028ful": 0.1}),),
    )
    assert from_json(to_json(item)) == item
    assert to_json(item).count("a\u2028b") == 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_refused_by_the_row(value: float) -> None:
    with pytest.raises(StageError, match="row 's-7': a score, margin or rating is not finite"):
        to_json(Judged(Pair("s-7", user("p"), "a", "b", margin=value)))


def pair(chosen: str = "good", rejected: str = "bad", prompt: str = "p") -> Judged:
    return Judged(Pair("set-3", user(prompt), chosen, rejected, "maths", source="set"))


def test_a_row_is_named_by_its_source_and_the_number_its_id_ends_with() -> None:
    assert (source_of(pair()), row_number(pair())) == ("set", 3)
    assert row_number(Demonstration(user("p"), "c")) == 0
    assert row_number(Prompt("world", user("p"))) == 0


def test_the_chosen_best_and_liked_replies_come_first() -> None:
    row = Judged(
        Pair("1", user("p"), "b", "c"),
        Ranking("1", user("p"), ("a", "b", "c")),
        (RatedReply("1", user("p"), "d", {}),),
    )
    assert replies_of(row) == ("b", "c", "a", "d")
    assert preferred_of(row) == ("b", "a")
    assert preferred_of(Judged(feedback=Feedback("1", user("p"), "r", True))) == ("r",)
    assert preferred_of(Judged(feedback=Feedback("1", user("p"), "r", False))) == ()
    assert preferred_of(Judged(rated=(RatedReply("1", user("p"), "d", {}),))) == ("d",)
    assert replies_of(Prompt("1", user("p"))) == ()


def test_the_keys_are_equal_up_to_case_spacing_and_composition() -> None:
    assert row_key(pair("Good  Reply", prompt="A\nb")) == row_key(pair("good reply", prompt="a B"))
    assert row_key(pair("caf\u00e9")) == row_key(pair("cafe\u0301"))
    assert row_key(pair("good", "bad")) != row_key(pair("bad", "good"))
    assert row_key(pair("ab", "c")) != row_key(pair("a", "bc"))
    assert prompt_key(pair("x")) == prompt_key(Prompt("other", user("P ")))
    assistant = ({"role": "assistant", "content": "p"},)
    assert prompt_key(Prompt("1", assistant)) != prompt_key(Prompt("1", user("p")))


def test_a_liked_and_a_disliked_reply_are_different_rows() -> None:
    liked, disliked = (Judged(feedback=Feedback("1", user("p"), "r", v)) for v in (True, False))
    assert row_key(liked) != row_key(disliked)


def test_preferences_serve_as_demonstrations_and_prompts() -> None:
    expected = Demonstration(user("p"), "good", "maths", "set-3", "set")
    assert as_demonstration(pair()) == expected
    assert as_prompt(pair()) == Prompt("set-3", user("p"), "maths", source="set")
    assert as_prompt(expected) == Prompt("set-3", user("p"), "maths", source="set")
    ranked = Judged(ranking=Ranking("s-1", user("p"), ("best", "worst"), source="s"))
    assert as_demonstration(ranked) == Demonstration(user("p"), "best", None, "s-1", "s")
    assert as_prompt(Prompt("1", user("p"), target="4")).target == "4"


def test_what_does_not_serve_is_dropped_by_name() -> None:
    disliked = Judged(feedback=Feedback("s-2", user("p"), "r", False))
    only_rated = Judged(rated=(RatedReply("s-3", user("p"), "d", {"help": 1.0}),))
    rows = [disliked, only_rated, Prompt("s-4", user("p")), Dropped(5, "empty_reply")]
    assert list(of_kind(rows, "demonstrations")) == [
        Dropped(2, "disliked"),
        Dropped(3, "only_rated"),
        Dropped(4, "no_reply"),
        Dropped(5, "empty_reply"),
    ]
    assert list(of_kind([Demonstration(user("p"), "c", id="s-6"), pair()], "preferences")) == [
        Dropped(6, "no_preference"),
        pair(),
    ]
    assert [as_prompt(disliked)] == list(of_kind([disliked], "prompts"))


def test_every_reply_of_a_row_is_changed_or_the_row_stays_itself() -> None:
    row = Judged(
        Pair("1", user("p"), "a", "b"),
        Ranking("1", user("p"), ("a", "b")),
        (RatedReply("1", user("p"), "a", {"x": 1.0}),),
        Feedback("1", user("p"), "b", True),
    )
    assert with_replies(row, str.upper) == Judged(
        Pair("1", user("p"), "A", "B"),
        Ranking("1", user("p"), ("A", "B")),
        (RatedReply("1", user("p"), "A", {"x": 1.0}),),
        Feedback("1", user("p"), "B", True),
    )
    assert with_replies(row, str.lower) is row
    assert with_replies(Demonstration(user("p"), "a"), str.upper).completion == "A"  # type: ignore[union-attr]


def test_a_record_that_says_nothing_is_a_bug() -> None:
    with pytest.raises(ValueError, match="says nothing"):
        row_number(Judged())


def test_the_ledger_counts_and_names_what_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "dropped.jsonl"
    with Ledger(path) as ledger:
        ledger.drop(Dropped(12, "empty_chosen"), "a\u2028b")
        ledger.filtered(pair(), "length")
    assert path.read_text(encoding="utf-8") == (
        '{"row": 12, "source": "a\u2028b", "reason": "empty_chosen"}\n'
        '{"row": 3, "source": "set", "reason": "filter:length"}\n'
    )
    assert ledger.as_json()["dropped"] == {"empty_chosen": 1, "filter:length": 1}
