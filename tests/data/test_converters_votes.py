"""SHP-2, StackExchange, both Chatbot Arenas and AlpacaFarm, on rows of their own columns."""

import json
from typing import Any

import pytest
from converter_rows import convert, pair_in, replies, said, scores, turns

from ablate.data.reading.columns import MalformedRow
from ablate.data.records import Dropped, Judged, Pair

SHP = {
    "post_id": "t3_x",
    "domain": "askbaking_train",
    "history": " Why is my bread flat? ",
    "human_ref_A": "Old yeast.",
    "human_ref_B": "Bad luck.",
    "score_A": 52,
    "score_B": 7,
    "labels": 1,
}


def test_label_1_of_shp_prefers_a() -> None:
    # Published code elsewhere reads it the other way; the card says 1 is A.
    expected = Pair(
        id="s-1",
        prompt=({"role": "user", "content": "Why is my bread flat?"},),
        chosen="Old yeast.",
        rejected="Bad luck.",
        category="askbaking_train",
        source="s",
        chosen_score=52.0,
        rejected_score=7.0,
    )
    assert convert("shp", SHP) == [Judged(expected)]


def test_label_0_of_shp_prefers_b_with_the_scores_that_go_with_it() -> None:
    (item,) = convert("shp", {**SHP, "labels": 0, "score_A": 3, "score_B": 9})
    assert replies(item) == ("Bad luck.", "Old yeast.")
    assert scores(item) == (9, 3, None)


def test_an_inverted_score_of_shp_stays_visible() -> None:
    # The label is kept and not mended, so that the check of label directions can find it.
    (item,) = convert("shp", {**SHP, "score_A": 1})
    assert scores(item) == (1, 7, None)


def test_shp_rows_without_a_score_are_pairs_without_scores() -> None:
    (item,) = convert("shp", {**SHP, "score_B": None})
    assert scores(item) == (None, None, None)


def test_a_deleted_comment_of_shp_is_dropped() -> None:
    rows = (
        {**SHP, "human_ref_A": "  "},
        {**SHP, "history": ""},
        {**SHP, "human_ref_B": "Old yeast."},
    )
    reasons = ["empty_chosen", "empty_prompt", "identical_replies"]
    assert convert("shp", *rows) == [Dropped(n, reason) for n, reason in enumerate(reasons, 1)]


def test_another_label_of_shp_is_named() -> None:
    with pytest.raises(MalformedRow, match="column 'labels' is 2; 0 and 1 are allowed"):
        convert("shp", {**SHP, "labels": 2})


def test_response_j_of_stack_exchange_is_the_better_one() -> None:
    row = {"qid": 4, "question": "How?", "date": "2010", "metadata": ["u"], "response_j": "So.\n"}
    (item,) = convert("stack_exchange", {**row, "response_k": "No."})
    assert replies(item) == ("So.", "No.")
    assert scores(item) == (None, None, None)


def arena(winner: str, a: list[dict[str, str]], b: list[dict[str, str]]) -> dict[str, Any]:
    models = {"question_id": "q", "model_a": "x", "model_b": "y", "language": "English"}
    return {**models, "winner": winner, "conversation_a": a, "conversation_b": b, "turn": 1}


def test_the_model_that_won_the_vote_of_2023_is_chosen() -> None:
    a, b = turns("hi", "from a"), turns("hi", "from b")
    first, second = convert("chatbot_arena", arena("model_a", a, b), arena("model_b", a, b))
    assert replies(first) == ("from a", "from b")
    assert replies(second) == ("from b", "from a")
    assert pair_in(second).category == "English"


@pytest.mark.parametrize("winner", ["tie", "tie (bothbad)"])
def test_ties_of_2023_are_dropped_by_name(winner: str) -> None:
    rows = arena(winner, turns("hi", "a"), turns("hi", "b"))
    assert convert("chatbot_arena", rows) == [Dropped(1, "tie")]


def test_several_turns_of_2023_need_the_same_turns_before() -> None:
    # The vote is on both whole conversations; after different answers no prompt is common.
    same = arena("model_a", turns("1", "one", "2", "a"), turns("1", "one", "2", "b"))
    other = arena("model_a", turns("1", "one", "2", "a"), turns("1", "eins", "2", "b"))
    found, dropped = convert("chatbot_arena", same, other)
    assert said(pair_in(found).prompt) == [("user", "1"), ("assistant", "one"), ("user", "2")]
    assert dropped == Dropped(2, "prompts_differ")


def test_an_unknown_winner_of_2023_is_named() -> None:
    with pytest.raises(MalformedRow, match=r"'winner' is 'both'; 'model_a', .*'tie \(bothbad\)'"):
        convert("chatbot_arena", arena("both", turns("hi", "a"), turns("hi", "b")))


def test_a_conversation_of_2023_that_ends_with_the_user_is_dropped() -> None:
    row = arena("model_a", turns("hi", "a", "and?"), turns("hi", "b"))
    assert convert("chatbot_arena", row) == [Dropped(1, "no_reply")]


def battle(votes: tuple[int, int, int], asked: object, a: object, b: object) -> dict[str, Any]:
    # As read from CSV: all columns are text, and the turns are JSON inside of it.
    columns = zip(("winner_model_a", "winner_model_b", "winner_tie"), map(str, votes), strict=True)
    texts = {"prompt": asked, "response_a": a, "response_b": b}
    return {"id": "30192", **dict(columns), **{k: json.dumps(v) for k, v in texts.items()}}


def test_turns_of_2024_are_read_from_json_in_text() -> None:
    first, second = convert(
        "arena_55k",
        battle((1, 0, 0), ["hi"], ["from a"], ["from b"]),
        battle((0, 1, 0), ["hi", "and?"], ["same", "from a"], ["same", "from b"]),
    )
    assert replies(first) == ("from a", "from b")
    assert replies(second) == ("from b", "from a")
    assert said(pair_in(second).prompt) == [("user", "hi"), ("assistant", "same"), ("user", "and?")]


def test_ties_nulls_and_broken_text_of_2024_are_dropped_by_name() -> None:
    rows = [
        battle((0, 0, 1), ["hi"], ["a"], ["b"]),
        battle((1, 0, 0), ["hi"], [None], ["b"]),
        battle((1, 0, 0), ["hi"], ["a"], [None]),
        battle((1, 0, 0), ["hi"], ["a \ud83d"], ["b"]),  # Half of a pair, as JSON can spell it.
        battle((0, 1, 0), ["hi", "and?"], ["a", "c"], ["b", "d"]),
        battle((0, 1, 0), ["hi", "and?"], ["a"], ["b", "d"]),
    ]
    reasons = ["tie", "empty_chosen", "empty_rejected", "broken_text", "prompts_differ", "no_reply"]
    assert convert("arena_55k", *rows) == [Dropped(n, why) for n, why in enumerate(reasons, 1)]


@pytest.mark.parametrize("change", [{"winner_model_b": "1"}, {"prompt": "hi"}, {"prompt": "[1]"}])
def test_contradicting_votes_and_other_text_of_2024_are_named(change: dict[str, str]) -> None:
    with pytest.raises(MalformedRow, match="winner_|a JSON list of texts is needed"):
        convert("arena_55k", battle((1, 0, 0), ["hi"], ["a"], ["b"]) | change)


FARM = {"instruction": "Sort.", "input": "b, a", "output_1": "a, b", "output_2": "b, a"}


def test_the_preference_of_alpaca_farm_counts_from_1() -> None:
    first, second = convert("alpaca_farm", {**FARM, "preference": 1}, {**FARM, "preference": 2})
    assert replies(first) == ("a, b", "b, a")
    assert replies(second) == ("b, a", "a, b")
    assert said(pair_in(first).prompt) == [("user", "Sort.\n\nb, a")]


def test_an_instruction_of_alpaca_farm_may_have_no_input() -> None:
    for empty in ("", None, "  "):
        (item,) = convert("alpaca_farm", {**FARM, "input": empty, "preference": 1})
        assert said(pair_in(item).prompt) == [("user", "Sort.")]


def test_draws_of_alpaca_farm_are_dropped_in_both_spellings() -> None:
    rows = ({**FARM, "preference": value} for value in (0, 1.5, None))
    reasons = ["tie", "tie", "no_preference"]
    assert convert("alpaca_farm", *rows) == [Dropped(n, why) for n, why in enumerate(reasons, 1)]


def test_another_preference_of_alpaca_farm_is_named() -> None:
    with pytest.raises(MalformedRow, match="column 'preference' is 3; 1, 2 and 0 or 1.5"):
        convert("alpaca_farm", {**FARM, "preference": 3})
