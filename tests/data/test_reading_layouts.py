"""Every layout on rows by hand: what it is recognized by, what it yields, what it refuses."""

from pathlib import Path
from typing import Any

import pytest

from ablate.data.converters.table import CONVERTERS
from ablate.data.reading.columns import MalformedRow
from ablate.data.reading.conversion import converted
from ablate.data.reading.layouts import LAYOUTS, PUBLISHED, Item, recognize
from ablate.data.reading.limits import Row
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
from ablate.errors import StageError

ASK = {"role": "user", "content": "Why?"}
SAID = {"role": "assistant", "content": "Because."}
OTHER = {"role": "assistant", "content": "No."}
HUMAN = {"from": "human", "value": "Why?"}
SYSTEM = {"role": "system", "content": "Be brief."}
PAIR = Pair("s-1", user("Why?"), "Because.", "No.", source="s")
TWO = {"prompt": "Why?", "response_0": "No.", "response_1": "Because."}


def read(*rows: dict[str, Any], layout: str = "") -> list[Item | Dropped]:
    """Return what the rows say, by the layout that the first one is recognized as."""
    name = layout or recognize(rows[0].keys(), rows[0])
    return list(converted(enumerate(rows, 1), LAYOUTS[name], "s", where="file"))


PAIRS = [
    ("preferences", {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}),
    ("preferences", {"instruction": "Why?", "input": "", "chosen": "Because.", "rejected": "No."}),
    ("preferences", {"question": "Why?", "chosen": "Because.", "rejected": "No."}),
    ("preferences", {"chosen": [ASK, SAID], "rejected": [ASK, OTHER]}),
    (
        "preferences",
        {
            "conversations": [HUMAN],
            "chosen": {"from": "gpt", "value": "Because."},
            "rejected": {"from": "gpt", "value": "No."},
        },
    ),
    ("better_first", {"question": "Why?", "response_j": "Because.", "response_k": "No."}),
    ("two_replies", TWO | {"label": 1}),
    ("two_replies", TWO | {"label": True}),
    ("two_replies", TWO | {"label": "1.0"}),
    ("two_replies", TWO | {"better_response_id": 1.0, "safer_response_id": 0}),
    ("two_replies", TWO | {"preference": "response_1"}),
    (
        "two_replies",
        {"instruction": "Why?", "output_1": "Because.", "output_2": "No.", "preference": 1},
    ),
    (
        "two_replies",
        {"prompt": "Why?", "response_a": "Because.", "response_b": "No.", "winner": "A"},
    ),
]


@pytest.mark.parametrize(("layout", "row"), PAIRS)
def test_every_layout_of_a_pair_gives_the_same_pair(layout: str, row: dict[str, Any]) -> None:
    assert recognize(row.keys(), row) == layout
    assert read(row) == [Judged(PAIR)]


def test_an_instruction_is_followed_by_its_input() -> None:
    row = {"instruction": "Add.", "input": "1, 2", "chosen": "3", "rejected": "4"}
    assert read(row) == [Judged(Pair("s-1", user("Add.\n\n1, 2"), "3", "4", source="s"))]


def test_scores_and_margin_of_a_pair_are_kept() -> None:
    row = {"prompt": "Why?", "chosen": "Because.", "rejected": "No.", "margin": 2}
    for names in (("chosen_score", "rejected_score"), ("score_chosen", "score_rejected")):
        [item] = read(row | dict(zip(names, (4.5, "3"), strict=True)))
        assert isinstance(item, Judged) and item.pair is not None
        assert (item.pair.chosen_score, item.pair.rejected_score) == (4.5, 3.0)
        assert item.pair.margin == 2.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "much", [1], 10**400, "9" * 10**6])
def test_a_score_that_is_no_finite_number_is_refused(value: Any) -> None:
    row = {"prompt": "Why?", "chosen": "Because.", "rejected": "No.", "chosen_score": value}
    with pytest.raises(StageError, match=r"^file:1: column 'chosen_score' is .*; a finite number"):
        read(row)


def test_dialogues_in_one_text_are_left_to_their_converter() -> None:
    row = {"chosen": "\n\nHuman: Why?\n\nAssistant: Because.", "rejected": "\n\nHuman: Why?"}
    assert recognize(row.keys(), row) == "hh"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"label": None}, "no_label"),
        ({"label": "tie"}, "tie"),
        ({"label": 0.5}, "tie"),
        ({"label": 0, "response_1": "No."}, "identical_replies"),
        ({"label": 0, "response_0": ""}, "empty_chosen"),
        ({"label": 1, "response_0": " "}, "empty_rejected"),
    ],
)
def test_two_replies_without_a_preference_are_dropped_by_reason(
    row: dict[str, Any], reason: str
) -> None:
    assert read(TWO | row) == [Dropped(1, reason)]


@pytest.mark.parametrize("draw", [0, 1.5, "1.5", 0.0])
def test_both_spellings_of_a_draw_between_output_1_and_2_are_ties(draw: Any) -> None:
    row = {"instruction": "Why?", "output_1": "a", "output_2": "b", "preference": draw}
    assert read(row) == [Dropped(1, "tie")]


@pytest.mark.parametrize("label", [2, -1, 0.7, "best", [1], pytest.param(10**5000, id="huge")])
def test_a_choice_that_names_no_reply_is_refused(label: Any) -> None:
    allowed = "0, 1, response_0, response_1, tie are allowed"
    with pytest.raises(StageError, match=rf"^file:1: column 'label' is .*; {allowed}"):
        read(TWO | {"label": label})


def test_ranks_of_listed_replies_make_a_ranking_and_a_pair() -> None:
    row = {"prompt": "Why?", "responses": ["b", "c", "a"], "ranks": [2, 3, 1]}
    [item] = read(row)
    assert isinstance(item, Judged) and item.pair is not None
    assert item.ranking == Ranking("s-1", user("Why?"), ("a", "b", "c"), source="s")
    assert item.pair.chosen == "a" and item.pair.rejected in ("b", "c")
    assert item.pair.chosen_score is None


def test_scores_of_listed_replies_are_kept_and_higher_is_better() -> None:
    row = {"prompt": "Why?", "responses": ["b", "a"], "scores": [2, 3.5]}
    [item] = read(row)
    pair = Pair("s-1", user("Why?"), "a", "b", source="s", chosen_score=3.5, rejected_score=2.0)
    assert item == Judged(pair, Ranking("s-1", user("Why?"), ("a", "b"), source="s"))


def test_level_replies_make_no_ranking_and_level_best_ones_no_pair() -> None:
    row = {"prompt": "Why?", "responses": ["a", "b", "c"], "scores": [3, 1, 1]}
    [item] = read(row)
    assert isinstance(item, Judged) and item.pair is not None and item.ranking is None
    assert item.pair.chosen == "a"
    assert read(row | {"scores": [3, 3, 1]}) == [Dropped(1, "tie")]


@pytest.mark.parametrize("ranks", [None, [1], [1, "x"], "12"])
def test_ranks_that_do_not_fit_the_replies_are_refused(ranks: Any) -> None:
    with pytest.raises(StageError, match=r"^file:1: column 'ranks'"):
        read({"prompt": "Why?", "responses": ["a", "b"], "ranks": ranks})


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [ASK, SAID], "label": True},
        {"conversations": [HUMAN, {"from": "gpt", "value": "Because."}], "kto_tag": True},
        {"prompt": "Why?", "completion": "Because.", "label": "true"},
        {"prompt": [ASK], "completion": [SAID], "label": 1},
        {"instruction": "Why?", "output": "Because.", "liked": 1.0},
    ],
)
def test_a_thumb_is_feedback_on_one_reply(row: dict[str, Any]) -> None:
    assert recognize(row.keys(), row) == "feedback"
    assert read(row) == [
        Judged(feedback=Feedback("s-1", user("Why?"), "Because.", True, source="s"))
    ]


def test_a_thumb_down_a_missing_one_and_a_strange_one() -> None:
    row = {"prompt": "Why?", "completion": "No."}
    [down] = read(row | {"label": False})
    assert isinstance(down, Judged) and down.feedback is not None and not down.feedback.liked
    assert read(row | {"label": None}) == [Dropped(1, "no_label")]
    with pytest.raises(StageError, match=r"column 'label' is 'joy'; true and false are allowed"):
        read(row | {"label": "joy"}, layout="feedback")
    # A class of something else does not make a demonstration into feedback.
    assert recognize([*row, "label"], row | {"label": "joy"}) == "prompt_completion"


def test_rankings_and_ratings_are_preferences() -> None:
    rated = {"prompt": "Why?", "completion": "Because.", "attributes": {"length": 2}}
    assert read(rated) == [
        Judged(rated=(RatedReply("s-1", user("Why?"), "Because.", {"length": 2.0}, source="s"),))
    ]
    [item] = read({"prompt": "Why?", "ranking": ["a", "b"], "category": "tales"})
    assert item == Judged(
        Pair("s-1", user("Why?"), "a", "b", "tales", source="s"),
        Ranking("s-1", user("Why?"), ("a", "b"), "tales", source="s"),
    )


@pytest.mark.parametrize(
    ("layout", "row"),
    [
        ("messages", {"messages": [ASK, SAID]}),
        ("messages", {"conversations": [HUMAN, {"from": "gpt", "value": "Because."}]}),
        ("prompt_completion", {"prompt": "Why?", "completion": "Because."}),
        ("prompt_completion", {"prompt": [ASK], "response": "Because."}),
        ("instructions", {"instruction": "Why?", "input": "", "output": "Because."}),
        ("instructions", {"instruction": "Why?", "context": "", "response": "Because."}),
        ("question_answer", {"question": "Why?", "answer": "Because."}),
        ("question_answer", {"query": "Why?", "response": "Because."}),
        (
            "instances",
            {"instruction": "Why?", "instances": [{"input": "", "output": "Because."}]},
        ),
    ],
)
def test_every_layout_of_a_demonstration_gives_the_same_one(
    layout: str, row: dict[str, Any]
) -> None:
    assert recognize(row.keys(), row) == layout
    assert read(row) == [Demonstration(user("Why?"), "Because.", None, "s-1", "s")]


def test_a_task_with_several_instances_gives_one_demonstration_for_each() -> None:
    cases = [{"input": "1", "output": "odd"}, {"input": "2", "output": ""}]
    assert read({"instruction": "Odd?", "instances": cases}) == [
        Demonstration(user("Odd?\n\n1"), "odd", None, "s-1.1", "s"),
        Dropped(1, "empty_completion"),
    ]


def test_a_template_in_a_prompt_is_kept() -> None:
    prompt = "Below is an instruction.\n\n### Instruction:\nWhy?\n\n### Response:\n"
    [item] = read({"prompt": prompt, "response": "Because."})
    assert isinstance(item, Demonstration) and item.prompt == user(prompt)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [ASK]}, "no_reply"),
        ({"messages": [SAID]}, "no_reply_to_a_user"),
        ({"messages": [SYSTEM, SAID]}, "no_reply_to_a_user"),
        ({"prompt": " ", "completion": "x"}, "empty_prompt"),
        ({"prompt": "Why?", "completion": "\n"}, "empty_completion"),
        ({"prompt": ""}, "empty_prompt"),
        ({"prompt": [ASK, SAID]}, "no_reply_to_a_user"),
    ],
)
def test_what_shows_or_asks_nothing_is_dropped_by_reason(row: dict[str, Any], reason: str) -> None:
    assert read(row) == [Dropped(1, reason)]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why?", "label": "safe"},
        {"instruction": "Why?", "dataset": "helpful"},
        {"question": "Why?"},
        {"turns": ["Why?", "And then?"], "question_id": 81},
        {"prompt": [ASK]},
    ],
)
def test_every_layout_of_a_prompt_gives_the_same_one(row: dict[str, Any]) -> None:
    assert recognize(row.keys(), row) == "prompts"
    assert read(row) == [Prompt("s-1", user("Why?"), source="s")]


def test_a_prompt_keeps_its_target_and_category() -> None:
    row = {"prompt": "1 + 1?", "target": 2, "category": "sums"}
    assert read(row) == [Prompt("s-1", user("1 + 1?"), "sums", target="2", source="s")]


@pytest.mark.parametrize(
    "row",
    [
        {"query": "Why?", "choices": ["a"], "gold": 0},
        {"question": "Why?", "choices": ["a"], "answer": "A"},
        {"model": "m", "preference": 1.5},
        {"text": "Why?", "code": "x = 1"},
    ],
)
def test_other_columns_are_a_table_whose_items_cannot_be_read(row: dict[str, Any]) -> None:
    assert recognize(row.keys(), row) == "table"
    with pytest.raises(StageError, match=r"^file:1: the columns are '.*no layout fits them"):
        read(row)


@pytest.mark.parametrize("layout", PUBLISHED)
def test_a_published_format_is_recognized_and_has_a_converter(layout: str) -> None:
    columns = [*PUBLISHED[layout], "id"]
    assert recognize(columns, dict.fromkeys(columns)) == layout
    assert layout in CONVERTERS


def test_no_columns_are_refused() -> None:
    with pytest.raises(MalformedRow, match="the row has no columns; the layouts are better_first"):
        recognize([], {})


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why?", "chosen": "Because.", "rejected": "No."},
        {"chosen": [ASK, SAID], "rejected": [ASK, OTHER]},
        {"messages": [ASK, SAID]},
        {"instruction": "Why?", "output": "Because."},
        {"prompt": [ASK]},
    ],
)
def test_a_system_column_opens_the_conversation_once(row: dict[str, Any]) -> None:
    for system, expected in (("Be brief.", (SYSTEM, ASK)), (" ", (ASK,)), (None, (ASK,))):
        [item] = read(row | {"system": system})
        found = item.pair if isinstance(item, Judged) else item
        assert not isinstance(found, Dropped) and found is not None
        assert (found.messages if isinstance(found, Prompt) else found.prompt) == expected
    [again] = read({"messages": [SYSTEM, ASK, SAID], "system": "Be long."})
    assert isinstance(again, Demonstration) and again.prompt == (SYSTEM, ASK)


def test_a_message_of_many_columns_stays_short() -> None:
    row = {f"column {place}": 1 for place in range(4000)}
    with pytest.raises(StageError) as caught:
        read(row)
    assert len(str(caught.value)) < 800 and "and 3980 more" in str(caught.value)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_malformed_row_is_skipped_and_the_others_are_read(place: int) -> None:
    rows: list[Row | Dropped] = [(n, {"prompt": f"{n}?"}) for n in (1, 2, 3)]
    rows[place] = place + 1, {"prompt": 7}
    rows.append(Dropped(4, "malformed"))
    with pytest.raises(StageError, match=rf"^file:{place + 1}: column 'prompt' is int"):
        list(converted(rows, LAYOUTS["prompts"], "s", where=Path("file")))
    found = list(converted(rows, LAYOUTS["prompts"], "s", where="file", on_bad_row="skip"))
    expected: list[Item | Dropped] = [
        Prompt(f"s-{n}", user(f"{n}?"), source="s") for n in (1, 2, 3)
    ]
    expected[place] = Dropped(place + 1, "malformed")
    assert found == [*expected, Dropped(4, "malformed")]


def test_a_text_with_half_of_a_surrogate_pair_is_refused_in_every_column_read() -> None:
    good = {"prompt": "Why?", "chosen": "Because.", "rejected": "No.", "category": "x"}
    for column in good:
        with pytest.raises(StageError, match=rf"^file:1: column '{column}' is no valid Unicode"):
            read(good | {column: "\ud800"})
