import pytest

from ablate.spec.contrast_checks import primary_problem
from ablate.spec.suites import TaskDefinition

TASKS = {
    "gsm8k": TaskDefinition(category="reasoning"),
    "mmlu": TaskDefinition(category="factuality"),
    "ifeval": TaskDefinition(),
}


@pytest.mark.parametrize(
    "primary",
    ["average", "reasoning", "gsm8k", "ifeval", "greedy_average", "gsm8k_strict", "gold"],
)
def test_names_of_the_suite_and_names_unlike_them_pass(primary: str) -> None:
    assert primary_problem(primary, TASKS) == ""


@pytest.mark.parametrize(("primary", "meant"), [("avrage", "average"), ("gsm8", "gsm8k")])
def test_a_slip_is_told_before_anything_trains(primary: str, meant: str) -> None:
    assert f"Did you mean {meant!r}?" in primary_problem(primary, TASKS)


def test_a_suite_that_says_nothing_of_its_tasks_refuses_nothing() -> None:
    assert primary_problem("avrage", {}) == ""
