"""Filters of rows."""

from collections.abc import Mapping
from typing import Any

import pytest

from ablate.data.records import Demonstration, Feedback, Judged, Pair, Prompt, Ranking, user
from ablate.data.shaping.filters import row_filter
from ablate.data.shaping.items import Item
from ablate.data.shaping.phrases import REFUSALS
from ablate.data.shaping.truecase import truecased
from ablate.spec.shaping import FILTERS


def kept(rows: list[Item], kind: str, **fields: Any) -> list[Item]:
    """Return what one filter leaves, in order."""
    step = row_filter(FILTERS[kind](**fields))  # type: ignore[arg-type]
    return [row for row in map(step, rows) if row is not None]


def says(text: str) -> Demonstration:
    return Demonstration(user("p"), text)


def pair(chosen: str, rejected: str, *, prompt: str = "p", **scores: float) -> Judged:
    return Judged(Pair("s-1", user(prompt), chosen, rejected, **scores))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I cannot have opinions.",
        "well,  as\na LANGUAGE model I",
        "I\u2019m just an AI.",
        "I don't have personal experiences, but",
        "I can\u2019t fulfill that request.",
        "I am unable to comply with this request.",
    ],
)
def test_a_reply_that_speaks_as_a_language_model_is_dropped(text: str) -> None:
    assert kept([says(text)], "refusals") == []


@pytest.mark.parametrize(
    "text",
    [
        "As an aid to memory, write it down. As an airline pilot I fly.",
        "A language model predicts the next token; OpenAI trains some.",
        "Sorry, I can't make it on Monday.",
        "I don't have personal space on the bus.",
        "\u4f5c\u4e3a\u4e00\u4e2a",
    ],
)
def test_a_reply_about_models_or_with_like_words_is_kept(text: str) -> None:
    assert kept([says(text)], "refusals") == [says(text)]


def test_the_built_in_phrases_are_as_they_are_compared() -> None:
    assert all(phrase == " ".join(phrase.casefold().split()) for phrase in REFUSALS)
    assert "\u2019" not in "".join(REFUSALS)
    assert len(set(REFUSALS)) == len(REFUSALS)


def test_of_a_pair_the_chosen_reply_or_either_is_looked_at() -> None:
    rows: list[Item] = [pair("as an AI I", "b"), pair("a", "as an AI I"), pair("a", "b")]
    assert kept(rows, "refusals") == rows[1:]
    assert kept(rows, "refusals", replies="any") == rows[2:]
    disliked = Judged(feedback=Feedback("1", user("p"), "as an AI", False))
    assert kept([disliked], "refusals") == [disliked]


def test_own_phrases_replace_the_list_and_may_hold_signs_of_expressions() -> None:
    rows: list[Item] = [says("As an AI I"), says("so it goes (sic)."), says("so it goes sic")]
    assert kept(rows, "refusals", phrases=("Goes  (SIC)",)) == [rows[0], rows[2]]


def test_a_length_is_of_every_reply_or_of_the_whole_prompt() -> None:
    rows: list[Item] = [pair("a b", "c"), pair("a b", "c d e"), pair("a b", "c d")]
    assert kept(rows, "length", min=2) == rows[1:]
    assert kept(rows, "length", min=2, max=2) == rows[2:]
    assert kept(rows, "length", unit="characters", max=3) == [rows[0], rows[2]]
    turns = (*user("one two"), {"role": "assistant", "content": "three"}, *user("four"))
    assert kept([Prompt("1", turns)], "length", of="prompt", max=3) == []
    assert kept([Prompt("1", turns)], "length", of="prompt", min=4, max=4) != []
    assert kept([Prompt("1", user("p"))], "length", min=5) == [Prompt("1", user("p"))]


def test_the_first_of_equal_rows_or_prompts_is_kept() -> None:
    rows: list[Item] = [pair("A", "b"), pair("a ", "B"), pair("b", "a"), pair("a", "b", prompt="q")]
    assert kept(rows, "duplicates") == [rows[0], rows[2], rows[3]]
    assert kept(rows, "duplicates", of="prompt") == [rows[0], rows[3]]


def test_scores_no_further_apart_than_the_gap_are_a_tie() -> None:
    rows: list[Item] = [
        pair("a", "b", chosen_score=2.0, rejected_score=2.0),
        pair("a", "b", chosen_score=2.0, rejected_score=1.5),
        pair("a", "b", chosen_score=1.5, rejected_score=2.0),
        pair("a", "b", chosen_score=3.0, rejected_score=2.0),
        pair("a", "b", chosen_score=3.0),
        pair("a", "b"),
        says("c"),
    ]
    assert kept(rows, "ties") == rows[1:]
    assert kept(rows, "ties", gap=0.5) == rows[3:]


TRUECASED: Mapping[str, str] = {
    "hello. how are you? i'm fine": "Hello. How are you? I'm fine",
    "and so do i. the end!": "And so do I. The end!",
    "see e.g. this, you vs. them. ok": "See e.g. this, you vs. them. Ok",
    "wait... what? \"why?\" you ask": "Wait... what? \"Why?\" you ask",
    "the list:\n\n1. apples\n- pears\nand figs": "The list:\n\n1. Apples\n- Pears\nand figs",
    "use `a. b` and\n```\nx. y\n```\nthen stop": "Use `a. b` and\n```\nx. y\n```\nThen stop",
    "www.a.com is down. and http://b.c/d too": "www.a.com is down. And http://b.c/d too",
    "poszed\u0142 i wr\u00f3ci\u0142. i tak": "Poszed\u0142 i wr\u00f3ci\u0142. I tak",
    "the loop: for i in range. so i said": "The loop: for i in range. So i said",
    "\u00e9cole. (\u00fcber)": "\u00c9cole. (\u00dcber)",
}  # fmt: skip


@pytest.mark.parametrize("text", TRUECASED)
def test_a_text_in_lower_case_gets_its_capitals(text: str) -> None:
    assert truecased(text) == TRUECASED[text]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Has one. but not here",
        "\u4f60\u597d\u3002\u4f60\u597d",
        "\u0645\u0631\u062d\u0628\u0627. \u0643\u064a\u0641",
        "\u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0. \u10e0\u10dd\u10d2\u10dd\u10e0",
        "12. 13! _x",
    ],
)
def test_a_text_with_capitals_or_in_a_script_without_case_stays(text: str) -> None:
    assert truecased(text) == text


@pytest.mark.parametrize("text", TRUECASED.values())
def test_truecasing_twice_is_truecasing_once(text: str) -> None:
    assert truecased(text) == text


def test_both_replies_of_a_pair_are_truecased_and_equal_ones_dropped() -> None:
    rows: list[Item] = [pair("yes. no", "never"), pair("Yes.", "yes."), pair("Yes", "No")]
    assert kept(rows, "truecase") == [pair("Yes. No", "Never"), rows[2]]
    ranking = Judged(ranking=Ranking("1", user("p"), ("Yes", "yes", "no")))
    assert kept([ranking], "truecase") == []
    assert kept([says("yes")], "truecase") == [says("Yes")]
