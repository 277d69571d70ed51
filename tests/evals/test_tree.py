import math

import pytest

from ablate.evals.tree import Leaf, mean, score_tree

PAPER_LEAVES = {
    "factuality": 56.0,
    "reasoning": 52.0,
    "coding": 47.7,
    "truthfulness": 71.5,
    "safety": 91.8,
    "instruction_following": 54.4,
}
"""Ivison et al. 2024, table 2: PPO on UltraFeedback; the paper's average is 62.2."""


def test_the_average_is_that_of_the_papers_table() -> None:
    tree = {name: [Leaf(name)] for name in PAPER_LEAVES}
    result = score_tree(tree, PAPER_LEAVES)
    assert result.categories == PAPER_LEAVES
    assert round(result.average, 1) == 62.2


def test_a_category_is_the_mean_of_its_tasks_whatever_their_size() -> None:
    tree = {"reasoning": [Leaf("gsm8k"), Leaf("bbh")], "coding": [Leaf("humaneval")]}
    result = score_tree(tree, {"gsm8k": 40.0, "bbh": 60.0, "humaneval": 20.0})
    assert result.categories == {"reasoning": 50.0, "coding": 20.0}
    assert result.average == 35.0


def test_a_task_where_lower_is_better_enters_as_its_complement() -> None:
    tree = {"safety": [Leaf("xstest"), Leaf("toxigen", direction="lower")]}
    assert score_tree(tree, {"xstest": 80.0, "toxigen": 10.0}).average == 85.0


@pytest.mark.parametrize("scores", [{"gsm8k": 40.0}, {"gsm8k": 40.0, "xstest": math.nan}])
def test_a_missing_category_leaves_no_average(scores: dict[str, float]) -> None:
    result = score_tree({"reasoning": [Leaf("gsm8k")], "safety": [Leaf("xstest")]}, scores)
    assert result.categories["reasoning"] == 40.0
    assert math.isnan(result.categories["safety"]) and math.isnan(result.average)


def test_the_mean_of_nothing_is_undefined() -> None:
    assert math.isnan(mean([]))
