"""HelpSteer and PRM800K, on rows of their own columns: one a reply, joined by prompt."""

from typing import Any

import pytest
from converter_rows import convert, pair_in, replies, said, scores

from ablate.data.converters.table import CONVERTERS
from ablate.data.reading.columns import MalformedRow
from ablate.data.reading.conversion import converted
from ablate.data.records import Dropped, Judged


def steer(prompt: str, response: str, *ratings: int) -> dict[str, Any]:
    names = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
    return {"prompt": prompt, "response": response, **dict(zip(names, ratings, strict=True))}


# Means of the first four: 3, 1 and 2. Verbosity, which is not counted, would turn the order around.
THREE = [
    steer("Why?", "best", 3, 3, 4, 2, 0),
    steer("Why?", "worst", 1, 1, 1, 1, 4),
    steer("Why?", "middle", 2, 2, 2, 2, 4),
]


def test_the_best_mean_of_four_ratings_is_chosen_wherever_it_stands() -> None:
    for rows in (THREE, THREE[1:] + THREE[:1], THREE[::-1]):
        (item,) = convert("helpsteer", *rows)
        chosen, rejected = replies(item)
        assert chosen == "best" and rejected in ("worst", "middle")
        mean = {"worst": 1, "middle": 2}[rejected]
        assert scores(item) == (3, mean, 3 - mean)


def test_the_published_converter_takes_the_worst_as_chosen() -> None:
    # Which is what a check of label directions has to find: the chosen score is below the other.
    (item,) = convert("helpsteer_as_published", *THREE)
    assert replies(item)[0] == "worst"
    better, worse, margin = scores(item)
    assert better == 1 and worse in (2, 3) and margin is None


def test_all_ratings_of_a_prompt_are_kept() -> None:
    (item,) = convert("helpsteer", *THREE)
    assert isinstance(item, Judged)
    assert [(rated.reply, rated.attributes["verbosity"]) for rated in item.rated] == [
        ("best", 0),
        ("worst", 4),
        ("middle", 4),
    ]
    assert {rated.id for rated in item.rated} == {"s-1"}


def test_neighbours_are_joined_and_a_single_reply_is_dropped() -> None:
    rows = [steer("a", "1", *[1] * 5), steer("a", "2", *[2] * 5), steer("b", "3", *[3] * 5)]
    again = [steer("a", "4", *[4] * 5), steer("a", "5", *[0] * 5)]
    found = convert("helpsteer", *rows, *again)
    assert [pair_in(item).id for item in (found[0], found[2])] == ["s-1", "s-4"]
    assert [replies(item) for item in (found[0], found[2])] == [("2", "1"), ("4", "5")]
    assert found[1] == Dropped(3, "single_reply")


def test_equal_means_stay_a_pair_whose_scores_say_so() -> None:
    (item,) = convert("helpsteer", steer("a", "1", *[2] * 5), steer("a", "2", *[2] * 5))
    assert (replies(item), scores(item)) == (("1", "2"), (2, 2, 0))


def test_the_rejected_reply_depends_on_the_id_and_reaches_all_others() -> None:
    rows = list(enumerate((row | {"prompt": f"{n}"} for n in range(60) for row in THREE), 1))
    found = [replies(item)[1] for item in CONVERTERS["helpsteer"](rows, "s")]
    again = [replies(item)[1] for item in CONVERTERS["helpsteer"](rows, "s")]
    assert found == again
    # 60 draws of two replies: 30 each, and four standard errors are 15.5.
    assert abs(found.count("middle") - 30) < 15.5


def test_only_the_rows_of_one_prompt_are_held() -> None:
    taken = []

    def rows() -> Any:
        for number in range(1, 1000):
            taken.append(number)
            yield number, steer(str((number - 1) // 2), f"r{number}", *[number % 2] * 5)

    next(CONVERTERS["helpsteer"](rows(), "s"))
    assert taken == [1, 2, 3]  # The third row shows that the first prompt has ended.


def test_a_malformed_row_inside_a_group_loses_no_other_row() -> None:
    """Of rows 1 to 4 the third is skipped: 1 and 2 make the pair, and 4 is left alone."""
    rows = [THREE[1], THREE[0], {**THREE[2], "helpfulness": "?"}, THREE[2]]
    found = converted(
        enumerate(rows, start=1), CONVERTERS["helpsteer"], "set", where="a", on_bad_row="skip"
    )
    first, *dropped = found
    assert replies(first) == ("best", "worst")
    assert dropped == [Dropped(3, "malformed"), Dropped(4, "single_reply")]


def test_a_malformed_row_is_named_when_it_is_read() -> None:
    read = []

    def rows() -> Any:
        for number, row in enumerate([*THREE, {"prompt": "Why?", "response": "x"}], 1):
            read.append(number)
            yield number, row

    with pytest.raises(MalformedRow, match="column 'helpfulness' is .*; a finite number is needed"):
        list(CONVERTERS["helpsteer"](rows(), "s"))
    assert read[-1] == 4


def solved(
    problem: str, finish: str, steps: list[str] | None, solution: str | None
) -> dict[str, Any]:
    question = {"problem": problem, "ground_truth_solution": solution, "pre_generated_steps": steps}
    label = {"steps": [], "total_time": 1, "finish_reason": finish}
    return {"labeler": "x", "generation": 9, "question": question, "label": label}


def test_the_solution_is_chosen_against_a_generation_with_an_error() -> None:
    rows = [
        solved("1+1?", "solution", ["It is 2."], "2"),
        solved("1+1?", "found_error", ["Count.", "It is 3.\n\n# Answer\n\n3"], "2"),
    ]
    (item,) = convert("prm800k", *rows)
    # The right generation of the first row is not used.
    assert replies(item) == ("2", "Count.\nIt is 3.\n\n# Answer\n\n3")
    assert said(pair_in(item).prompt) == [("user", "1+1?")]
    assert scores(item) == (None, None, None)


def test_problems_without_an_error_or_a_solution_are_dropped_by_name() -> None:
    rows = [
        solved("a", "solution", ["x"], "1"),
        solved("b", "give_up", ["x"], "1"),
        solved("c", "found_error", ["x"], None),
        solved("d", "found_error", None, "1"),  # Phase 1 has no whole generations.
    ]
    reasons = ["no_wrong_reply", "no_wrong_reply", "no_solution", "empty_rejected"]
    assert convert("prm800k", *rows) == [Dropped(n, why) for n, why in enumerate(reasons, 1)]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"question": "1+1?", "label": {}}, "column 'question' is '1\\+1\\?'; an object is needed"),
        ({"question": {"problem": "a"}, "label": None}, "column 'label' is NoneType"),
        (solved("a", "solution", [1], "1"), "'pre_generated_steps' is list"),  # type: ignore[list-item]
    ],
)
def test_another_shape_of_prm800k_is_named(row: dict[str, Any], found: str) -> None:
    with pytest.raises(MalformedRow, match=found):
        convert("prm800k", row)
