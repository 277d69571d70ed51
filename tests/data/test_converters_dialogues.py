"""HH-RLHF, OASST, QA feedback, demonstrations and prompts, on rows of their own columns."""

from typing import Any

import pytest
from converter_rows import convert, pair_in, replies, said, scores, turns

from ablate.data.reading.columns import MalformedRow
from ablate.data.records import Demonstration, Dropped, Prompt


def hh(chosen: str, rejected: str) -> dict[str, str]:
    """Return a row of dialogues written with ``|`` for a blank line and H and A for who speaks."""
    names = {"|H:": "\n\nHuman:", "|A:": "\n\nAssistant:"}
    row = {"chosen": chosen, "rejected": rejected}
    for short, long in names.items():
        row = {key: text.replace(short, long) for key, text in row.items()}
    return row


def test_dialogues_are_split_at_the_first_turn_that_differs() -> None:
    # What follows the second turn is ignored, though it differs as well.
    row = hh("|H: a|A: good|H: thanks|A: bye", "|H: a|A: bad|H: why?")
    (item,) = convert("hh_first_difference", row)
    assert replies(item) == ("good", "bad")
    assert said(pair_in(item).prompt) == [("user", "a")]
    assert convert("hh", row) == [Dropped(1, "no_reply")]


def test_a_marker_inside_of_a_line_does_not_split_a_reply() -> None:
    # The published converter splits at every "Human:".
    (item,) = convert("hh_first_difference", hh("|H: a|A: say Human: hi", "|H: a|A: no"))
    assert replies(item) == ("say Human: hi", "no")


def test_two_turns_of_one_role_in_a_prompt_are_joined() -> None:
    row = hh("|H: a|A: b|A: c|H: d|A: good", "|H: a|A: b|A: c|H: d|A: bad")
    for layout in ("hh", "hh_first_difference"):
        (item,) = convert(layout, row)
        assert said(pair_in(item).prompt) == [("user", "a"), ("assistant", "b\n\nc"), ("user", "d")]


def test_dialogues_without_two_replies_to_compare_are_dropped_by_name() -> None:
    rows = [
        hh("|H: a|A: b", "|H: a|A: b"),
        hh("|H: a|A: b|H: c|A: d", "|H: a|A: b"),
        hh("|H: a|A: b", "|H: x|A: c"),
        hh("|H: a|A:", "|H: a|A: c"),
        hh("|A: b", "|A: c"),
        hh("|H: a|A: b|A: c", "|H: a|A: b|A: d"),
    ]
    reasons = ["identical_replies", "one_ends_before_they_differ", "no_reply", "empty_chosen"]
    reasons += ["no_reply_to_a_user", "no_reply_to_a_user"]
    assert convert("hh_first_difference", *rows) == [
        Dropped(n, reason) for n, reason in enumerate(reasons, 1)
    ]


def test_ranks_of_oasst_become_scores_that_are_higher_for_the_better() -> None:
    row = {"prompt": turns("hi"), "chosen": "good", "rejected": "bad", "parent_id": "x"}
    (item,) = convert("oasst_pairs", {**row, "chosen_rank": 0, "rejected_rank": 2, "n_ranked": 3})
    assert (replies(item), scores(item)) == (("good", "bad"), (0, -2, None))


def qa(preference: object) -> dict[str, Any]:
    row = {"question": "When?", "gold": "never", "feedback": {}, "preference": preference}
    row["passages"] = [["Title", "Title\n\nFirst.", "Second."], ["Other", "Third."]]
    return row | {f"prediction {place}": f"p{place}" for place in range(1, 5)}


def test_the_six_votes_are_on_the_pairs_in_their_order() -> None:
    # (1,2) first, (1,3) second, (1,4) tie, (2,3) first, (2,4) second, (3,4) first.
    found = convert("finegrained_qa", qa([1, 2, 0, 1, 2, 1]))
    wanted = [("p1", "p2"), ("p3", "p1"), None, ("p2", "p3"), ("p4", "p2"), ("p3", "p4")]
    assert [None if item == Dropped(1, "tie") else replies(item) for item in found] == wanted
    assert [pair_in(item).id for item in (found[0], found[5])] == ["s-1v2-1", "s-3v4-1"]


def test_the_passages_stand_below_the_question_each_with_its_title() -> None:
    first = convert("finegrained_qa", qa([1] * 6))[0]
    expected = "When?\n\nTitle\n\nFirst. Second.\n\nOther\n\nThird."
    assert said(pair_in(first).prompt) == [("user", expected)]


@pytest.mark.parametrize("preference", [None, [1, 2], [1, 1, 1, 1, 1, 3]])
def test_other_votes_are_named(preference: object) -> None:
    with pytest.raises(MalformedRow, match="column 'preference' is .*; six of 0, 1 and 2"):
        convert("finegrained_qa", qa(preference))


SPOKEN = {"dataset": "lima", "id": "lima_0", "messages": turns("1", "one", "2", " two ")}


def test_the_last_reply_of_a_conversation_is_imitated() -> None:
    prompt = tuple(turns("1", "one", "2"))
    assert convert("conversations", SPOKEN) == [Demonstration(prompt, "two", "lima", "s-1", "s")]


def test_every_reply_of_a_conversation_can_be_imitated() -> None:
    found = convert("conversations_every_turn", SPOKEN)
    assert found == [
        Demonstration(tuple(turns("1")), "one", "lima", "s-m2-1", "s"),
        Demonstration(tuple(turns("1", "one", "2")), "two", "lima", "s-m4-1", "s"),
    ]


def test_conversations_without_a_reply_are_dropped_by_name() -> None:
    rows = [{"messages": turns("1", "one", "2")}, {"messages": turns("1", " ")}]
    rows += [{"messages": turns("1", "one")[1:]}, {"messages": turns(" ", "one")}]
    reasons = ["no_reply", "empty_reply", "no_reply_to_a_user", "empty_prompt"]
    assert convert("conversations", *rows) == [Dropped(n, why) for n, why in enumerate(reasons, 1)]
    assert convert("conversations_every_turn", {"messages": turns("1")}) == [Dropped(1, "no_reply")]


GSM = {"question": "2 and 1,000?", "answer": "2+1000=<<2+1000=1002>>1002\n#### 1,002"}


def test_marks_for_a_calculator_are_taken_out_of_solutions() -> None:
    (item,) = convert("gsm8k", GSM)
    assert isinstance(item, Demonstration)
    assert item.completion == "2+1000=1002\n#### 1,002"


def test_a_word_problem_as_prompt_has_a_plain_number_as_target() -> None:
    unsolved = {"question": "Why?", "answer": "Because."}
    first, second, dropped = convert("gsm8k_prompts", GSM, unsolved, {**GSM, "question": " "})
    assert first == Prompt("s-1", tuple(turns("2 and 1,000?")), target="1002", source="s")
    assert isinstance(second, Prompt) and second.target is None
    assert dropped == Dropped(3, "empty_prompt")


ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n### Instruction:\n{said}\n\n### Response:\n"
)


def test_the_template_around_an_instruction_is_taken_off() -> None:
    about = "Sum up.\n\n### Input:\nA long story."
    rows = [
        {"prompt": ALPACA.format(said=text), "response": "ok"} for text in ("Hi.\n\nYou?", about)
    ]
    first, second = convert("alpaca_template", *rows)
    assert isinstance(first, Demonstration) and isinstance(second, Demonstration)
    assert said(first.prompt) == [("user", "Hi.\n\nYou?")]
    assert said(second.prompt) == [("user", "Sum up.\n\nA long story.")]


def test_a_prompt_without_the_template_is_named() -> None:
    with pytest.raises(MalformedRow, match="column 'prompt' is not written in Alpaca's template"):
        convert("alpaca_template", {"prompt": "hi", "response": "ok"})


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "hi"},
        {"messages": turns("hi")},
        {"messages": turns("hi", "a reply")},
        {"history_messages": turns("hi"), "messages": turns("other")},
        {"conversation": turns("hi", "a reply")},
        {"chosen": turns("hi", "good"), "rejected": turns("hi", "bad")},
        {"prompt": "hi", "tags": "na"},
    ],
)
def test_a_prompt_is_found_where_the_published_reader_looks(row: dict[str, Any]) -> None:
    assert convert("tulu_prompts", row) == [Prompt("s-1", tuple(turns("hi")), source="s")]


def test_a_row_without_a_prompt_is_named() -> None:
    with pytest.raises(MalformedRow, match="column 'prompt' is missing or null"):
        convert("tulu_prompts", {"text": "hi"})
