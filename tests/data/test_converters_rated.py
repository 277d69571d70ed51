"""UltraFeedback in three forms, Nectar, Capybara, Orca, Tulu 2.5, on rows of their own columns."""

from typing import Any

import pytest
from converter_rows import convert, pair_in, replies, said, scores, turns

from ablate.data.reading.columns import MalformedRow
from ablate.data.records import Dropped, Judged

ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")


def completion(
    response: str, ratings: tuple[object, ...], overall: object = None
) -> dict[str, Any]:
    annotations = {
        aspect: {"Rating": str(rating), "Rationale": "..."}
        for aspect, rating in zip(ASPECTS, ratings, strict=True)
    }
    return {
        "model": "m",
        "response": response,
        "annotations": annotations,
        "overall_score": overall,
    }


def ultra(*completions: dict[str, Any]) -> dict[str, Any]:
    models = [f"model {place}" for place in range(len(completions))]
    row = {"source": "evol_instruct", "instruction": "Do it.", "models": models}
    return {**row, "completions": list(completions), "correct_answers": ["None"]}


def test_the_best_mean_of_aspects_is_chosen_and_all_ratings_are_kept() -> None:
    # Means 4 and 3; the overall scores say the opposite.
    row = ultra(completion("low", (3, 3, 3, 3), 9), completion("high", (5, 4, 4, 3), 2))
    (item,) = convert("ultrafeedback", row)
    assert isinstance(item, Judged)
    assert (replies(item), scores(item)) == (("high", "low"), (4, 3, 1))
    assert pair_in(item).category == "evol_instruct"
    assert item.rated[1].attributes == dict(zip(ASPECTS, (5, 4, 4, 3), strict=True))
    (by_overall,) = convert("ultrafeedback_by_overall", row)
    assert (replies(by_overall), scores(by_overall)) == (("low", "high"), (9, 2, 7))


def test_a_rating_that_is_not_available_is_left_out_of_the_mean() -> None:
    # 4 = mean of 5 and 3, not 2 = mean with zeros; it beats 3.5.
    row = ultra(completion("half", (5, "N/A", 3, "N/A")), completion("full", (4, 3, 4, 3)))
    (item,) = convert("ultrafeedback", row)
    assert (replies(item), scores(item)) == (("half", "full"), (4, 3.5, 0.5))
    assert isinstance(item, Judged)
    assert item.rated[0].attributes == {"helpfulness": 5, "instruction_following": 3}


def test_a_completion_without_a_rating_is_never_in_a_pair() -> None:
    none = completion("unrated", ("N/A",) * 4)
    rows = [
        ultra(none, completion("a", (1, 1, 1, 1)), completion("b", (2, 2, 2, 2))),
        ultra(none, completion("a", (1, 1, 1, 1))),
        ultra(),
    ]
    found, *dropped = convert("ultrafeedback", *rows)
    assert replies(found) == ("b", "a")
    assert dropped == [Dropped(2, "fewer_than_two_rated"), Dropped(3, "fewer_than_two_rated")]


def test_four_completions_give_the_best_and_any_of_the_others() -> None:
    made = [completion(str(mean), (mean,) * 4) for mean in (1, 4, 2, 3)]
    found = convert("ultrafeedback", *[ultra(*made)] * 90)
    assert {replies(item)[0] for item in found} == {"4"}
    counts = [sum(replies(item)[1] == other for item in found) for other in "123"]
    # 30 each of 90 draws; four standard errors are 17.9.
    assert sum(counts) == 90 and all(abs(count - 30) < 17.9 for count in counts)


def test_the_rejected_reply_of_a_row_does_not_move_with_its_neighbours() -> None:
    made = [completion(str(mean), (mean,) * 4) for mean in (1, 4, 2, 3)]
    alone = convert("ultrafeedback", ultra(*made))[0]
    assert convert("ultrafeedback", ultra(*made), ultra(*made))[0] == alone


@pytest.mark.parametrize(
    ("completions", "found"),
    [
        ("none", "column 'completions' is 'none'; a list of objects is needed"),
        ([{"response": "a", "annotations": None}], "'annotations' is NoneType"),
        (
            [{"response": "a", "annotations": {"x": {"Rating": "high"}}}],
            "the 'Rating' of 'x' is 'high'; a finite",
        ),
    ],
)
def test_another_shape_of_ultrafeedback_is_named(completions: object, found: str) -> None:
    with pytest.raises(MalformedRow, match=found):
        convert("ultrafeedback", ultra() | {"completions": completions})


ARGILLA = {
    "source": "sharegpt",
    "prompt": "hi",
    "chosen": turns("hi", "good"),
    "chosen-rating": 4.75,
    "chosen-model": "gpt-4",
    "rejected": turns("hi", "bad"),
    "rejected-rating": 3.5,
    "rejected-model": "alpaca-7b",
}


def test_the_cleaned_ultrafeedback_keeps_its_ratings_as_scores_and_margin() -> None:
    (item,) = convert("ultrafeedback_argilla", ARGILLA)
    assert (replies(item), scores(item)) == (("good", "bad"), (4.75, 3.5, 1.25))
    assert said(pair_in(item).prompt) == [("user", "hi")]
    assert pair_in(item).category == "sharegpt"


def test_the_binarized_ultrafeedback_is_read_from_its_own_score_columns() -> None:
    row = {"prompt": "hi", "prompt_id": "x", "messages": turns("hi", "good")}
    row |= {"chosen": turns("hi", "good"), "rejected": turns("hi", "bad")}
    (item,) = convert("ultrafeedback_h4", {**row, "score_chosen": 8.5, "score_rejected": 8.0})
    assert (replies(item), scores(item)) == (("good", "bad"), (8.5, 8, 0.5))


def test_capybara_has_its_earlier_turns_in_the_prompt() -> None:
    row = {"source": "Dove", "conversation": [], "rating_chosen": 5, "rating_rejected": 4}
    row |= {"chosen": turns("1", "one", "2", "good"), "rejected": turns("1", "one", "2", "bad")}
    (item,) = convert("capybara", row)
    assert said(pair_in(item).prompt) == [("user", "1"), ("assistant", "one"), ("user", "2")]
    assert (replies(item), scores(item)) == (("good", "bad"), (5, 4, 1))


def test_a_missing_rating_leaves_a_pair_without_scores() -> None:
    (item,) = convert("ultrafeedback_argilla", {**ARGILLA, "rejected-rating": float("nan")})
    assert scores(item) == (None, None, None)


def test_the_released_splits_keep_where_a_row_was_taken_from() -> None:
    row = {"chosen": turns("hi", " good "), "rejected": turns("hi", "bad"), "source": "nectar"}
    (item,) = convert("tulu_preferences", row)
    assert (pair_in(item).source, pair_in(item).category) == ("s", "nectar")
    assert (replies(item), scores(item)) == (("good", "bad"), (None, None, None))


def test_unusable_rows_of_the_released_form_are_dropped_by_name() -> None:
    sides = [
        (turns("hi", "a", "more"), turns("hi", "b")),
        (turns("hi", "a"), turns("ho", "b")),
        (turns("hi", ""), turns("hi", "b")),
        (turns("hi", "a"), turns("hi", "\n")),
        (turns("hi", "a"), turns("hi", " a")),
        (turns("", "a"), turns("", "b")),
        (turns("1", "", "2", "a"), turns("1", "", "2", "b")),
        (turns("x", "a")[1:], turns("x", "b")[1:]),
    ]
    reasons = ["no_reply", "prompts_differ", "empty_chosen", "empty_rejected", "identical_replies"]
    reasons += ["empty_prompt", "empty_turn", "no_reply_to_a_user"]
    rows = ({"chosen": a, "rejected": b, "source": "x"} for a, b in sides)
    assert convert("tulu_preferences", *rows) == [
        Dropped(n, reason) for n, reason in enumerate(reasons, 1)
    ]


ORCA = {"system": "Be brief.", "question": "Why?", "chosen": "So.", "rejected": "Hm."}


def test_orca_leaves_the_system_prompt_out_as_published() -> None:
    (plain,) = convert("orca", ORCA)
    assert said(pair_in(plain).prompt) == [("user", "Why?")]
    (whole,) = convert("orca_with_system", ORCA)
    assert said(pair_in(whole).prompt) == [("system", "Be brief."), ("user", "Why?")]
    assert replies(whole) == replies(plain) == ("So.", "Hm.")


def test_an_empty_system_prompt_of_orca_is_no_turn() -> None:
    (item,) = convert("orca_with_system", {**ORCA, "system": " "})
    assert said(pair_in(item).prompt) == [("user", "Why?")]


def ranked(
    *answers: tuple[str, float], prompt: str = "\n\nHuman: hi\n\nAssistant: "
) -> dict[str, Any]:
    listed = [{"answer": answer, "model": "m", "rank": rank} for answer, rank in answers]
    return {"prompt": prompt, "answers": listed, "turns": 1, "num_responses": len(listed)}


def test_rank_1_of_nectar_is_chosen_and_the_ranks_are_a_ranking() -> None:
    (item,) = convert("nectar", ranked(("c", 3.0), ("a", 1.0), ("b", 2.0)))
    assert isinstance(item, Judged) and item.ranking is not None
    assert item.ranking.replies == ("a", "b", "c")
    assert replies(item)[0] == "a" and replies(item)[1] in ("b", "c")
    assert scores(item) == (None, None, None)
    assert item.labels == 2
    assert said(item.ranking.prompt) == [("user", "hi")]


def test_a_prompt_of_nectar_may_have_several_turns() -> None:
    prompt = "\n\nHuman: 1\n\nAssistant: one\n\nHuman: 2\n\nAssistant: "
    (item,) = convert("nectar", ranked(("a", 1), ("b", 2), prompt=prompt))
    assert said(pair_in(item).prompt) == [("user", "1"), ("assistant", "one"), ("user", "2")]


@pytest.mark.parametrize(
    "answers", [[("a", 1), ("b", 2), ("c", 2)], [("a", 1), ("b", 2), ("b", 3)]]
)
def test_equal_ranks_or_replies_of_nectar_make_no_ranking(answers: list[tuple[str, int]]) -> None:
    (item,) = convert("nectar", ranked(*answers))
    assert isinstance(item, Judged) and item.ranking is None
    assert replies(item)[0] == "a"


def test_the_other_reply_of_nectar_is_any_of_the_six() -> None:
    answers = [(f"r{rank}", float(rank)) for rank in range(1, 8)]
    found = convert("nectar", *[ranked(*answers)] * 120)
    counts = [sum(replies(item)[1] == f"r{rank}" for item in found) for rank in range(2, 8)]
    # 20 each of 120 draws; four standard errors are 16.3.
    assert sum(counts) == 120 and all(abs(count - 20) < 16.3 for count in counts)


def test_a_single_answer_of_nectar_is_named() -> None:
    with pytest.raises(
        MalformedRow, match="column 'answers' has 1 objects; two or more are needed"
    ):
        convert("nectar", ranked(("a", 1)))
