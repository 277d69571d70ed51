"""All prompts of tiny-instruct, their splits, and how prompts are drawn."""

from __future__ import annotations

import zlib
from bisect import bisect
from collections.abc import Mapping
from functools import cache
from itertools import accumulate
from typing import Literal

from ablate.data.streams import Draws
from ablate.data.tiny import conduct, knowledge, skills
from ablate.data.tiny.tasks import CATEGORIES, Category, Task

WORLD = "tiny-instruct"
Split = Literal["train", "validation", "test"]

_BUILDERS = {
    "factuality": knowledge.factuality,
    "reasoning": skills.reasoning,
    "truthfulness": knowledge.truthfulness,
    "coding": skills.coding,
    "safety": conduct.safety,
    "instruction_following": conduct.instruction_following,
}


def split_of(prompt: str) -> Split:
    """Return the split of a prompt: an eighth is test, a sixteenth validation, by its CRC-32."""
    remainder = zlib.crc32(prompt.encode()) % 16
    if remainder in (0, 8):
        return "test"
    return "validation" if remainder == 4 else "train"


@cache
def all_tasks() -> dict[str, Task]:
    """Return every task by its prompt."""
    return {task.prompt: task for category in CATEGORIES for task in _BUILDERS[category]()}


@cache
def tasks_of(split: Split) -> dict[Category, tuple[Task, ...]]:
    """Return the tasks of a split by category; the prompts of two splits are disjoint."""
    found: dict[Category, list[Task]] = {category: [] for category in CATEGORIES}
    for task in all_tasks().values():
        if split_of(task.prompt) == split:
            found[task.category].append(task)
    return {category: tuple(tasks) for category, tasks in found.items()}


class TaskSampler:
    """Draws tasks of one split with replacement: first the category, then the prompt."""

    def __init__(self, split: Split, weights: Mapping[Category, float]) -> None:
        """Keep cumulative weights; ``weights`` are those of the categories, others are left out."""
        self._categories = [category for category in CATEGORIES if weights.get(category, 0) > 0]
        self._category_sums = list(accumulate(weights[c] for c in self._categories))
        self._tasks = [tasks_of(split)[category] for category in self._categories]
        self._sums = [list(accumulate(task.weight for task in tasks)) for tasks in self._tasks]

    def draw(self, draws: Draws) -> Task:
        """Return the next task; takes two uniforms."""
        category = bisect(self._category_sums, draws.unit() * self._category_sums[-1])
        sums = self._sums[category]
        return self._tasks[category][bisect(sums, draws.unit() * sums[-1])]


def evenly(categories: tuple[Category, ...] = CATEGORIES) -> dict[Category, float]:
    """Return equal weights."""
    return dict.fromkeys(categories, 1.0)
