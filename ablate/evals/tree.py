"""The two-level tree of a suite: task -> category -> Average."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Direction = Literal["higher", "lower", "none"]
Level = Literal["task", "category", "average", "diagnostic"]
Need = Literal["network", "code_execution", "judge", "data_folder"]


@dataclass(frozen=True)
class Leaf:
    """One task's place in the tree and how its score is to be read."""

    task: str
    """Name of the task."""
    metric: str = "acc"
    """Which of the task's scores counts."""
    filter: str = "keep_all"
    """lm-eval filter that the score is taken after."""
    direction: Direction = "higher"
    """A ``lower`` score enters its category as 100 - score."""
    chance: float = 0.0
    """Score of a policy that knows nothing, in percent."""
    cluster: str = "doc_id"
    """Sample field whose equal values are not independent."""
    needs: frozenset[Need] = frozenset()
    """What must be there besides the model; checked before training starts."""


Tree = Mapping[str, Sequence[Leaf]]


@dataclass(frozen=True)
class TreeScores:
    """Percentages of the categories and their mean; NaN where anything below is missing."""

    categories: dict[str, float]
    average: float


def score_tree(tree: Tree, scores: Mapping[str, float]) -> TreeScores:
    """Average task scores (percent, by task name) into categories and categories into one number.

    Equal weights twice, whatever the number of items. A task without a score, or with NaN, makes
    its category and the average NaN: the mean of what is left would be another quantity.
    """
    categories = {
        category: mean(_oriented(leaf, scores.get(leaf.task, math.nan)) for leaf in leaves)
        for category, leaves in tree.items()
    }
    return TreeScores(categories, mean(categories.values()))


def mean(values: Iterable[float]) -> float:
    """Return the mean; NaN of nothing, and NaN as soon as one value is NaN."""
    numbers = [float(value) for value in values]
    return math.fsum(numbers) / len(numbers) if numbers else math.nan


def _oriented(leaf: Leaf, score: float) -> float:
    return 100.0 - score if leaf.direction == "lower" else score
