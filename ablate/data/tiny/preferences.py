"""Preference pairs of tiny-instruct: four data sets to train on, two kinds to evaluate with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ablate.data.records import Pair, user
from ablate.data.streams import Draws
from ablate.data.tiny.catalogue import WORLD, TaskSampler, evenly
from ablate.data.tiny.gold import (
    CORRECT_POINTS,
    conciseness_points,
    grade,
    politeness_points,
)
from ablate.data.tiny.personas import reply, styled
from ablate.data.tiny.tasks import CATEGORIES, Category, Task

GOOD_SHARE = 0.5
EXAMPLES = 2500


@dataclass(frozen=True, slots=True)
class Labeller:
    """How a data set came about: what it covers, what its labellers like, how often they err."""

    categories: tuple[Category, ...]
    flip: float
    """Probability that a label is turned round."""
    gold_weight: int = 100
    length_weight: int = 0
    """Both in hundredths: the score is ``gold_weight`` x gold + ``length_weight`` x words."""

    def terms(self, task: Task, text: str) -> dict[str, int]:
        """Return what the labeller's score of a reply consists of, in ten-thousandths."""
        tokens = text.split()
        gold = {
            "correctness": CORRECT_POINTS * grade(task, text).correct,
            "politeness": politeness_points(tokens),
            "conciseness": conciseness_points(tokens),
        }
        terms = {name: self.gold_weight * points for name, points in gold.items()}
        if self.length_weight:
            terms["length"] = 100 * self.length_weight * len(tokens)
        return terms

    def score(self, task: Task, text: str) -> int:
        """Return the sum of the terms, a whole number so that ties are exact."""
        return sum(self.terms(task, text).values())


LABELLERS = {
    "human-noisy": Labeller(
        ("safety", "instruction_following", "factuality", "truthfulness"),
        flip=0.30,
        gold_weight=50,
        length_weight=4,
    ),
    "web-narrow": Labeller(("coding", "reasoning"), flip=0.15),
    "ai-overall": Labeller(CATEGORIES, flip=0.15),
    "ai-fine": Labeller(CATEGORIES, flip=0.03),
}
"""The preference data sets by name."""


def preferences(name: str, seed: int, examples: int = EXAMPLES) -> tuple[list[Pair], Counter[str]]:
    """Return so many pairs of a data set, and how many ties were dropped on the way.

    Replies and flips come from two streams shared by all data sets, so that two sets of equal
    coverage differ in their labels alone, and a smaller sample is the beginning of a larger one.
    """
    labeller = LABELLERS[name]
    flips = Draws(seed, "tiny-instruct/preferences/flips")
    dropped: Counter[str] = Counter()
    pairs: list[Pair] = []
    source = _labelled(labeller, Draws(seed, "tiny-instruct/preferences/replies"), dropped)
    while len(pairs) < examples:
        task, better, worse = next(source)
        if flips.chance(labeller.flip):
            better, worse = worse, better
        id_ = f"{name}-{seed}-{len(pairs)}"
        pairs.append(Pair(id_, user(task.prompt), better, worse, task.category, WORLD))
    return pairs, dropped


def _labelled(
    labeller: Labeller, draws: Draws, dropped: Counter[str]
) -> Iterator[tuple[Task, str, str]]:
    """Yield a task with its better and its worse reply, without end."""
    sampler = TaskSampler("train", evenly(labeller.categories))
    while True:
        task = sampler.draw(draws)
        first = reply(task, good_share=GOOD_SHARE, draws=draws)
        second = reply(task, good_share=GOOD_SHARE, draws=draws)
        advantage = labeller.score(task, first) - labeller.score(task, second)
        if advantage > 0:
            yield task, first, second
        elif advantage < 0:
            yield task, second, first
        else:
            dropped["tie"] += 1


def evaluation_pairs(kind: Literal["ordinary", "hard"], seed: int, examples: int) -> list[Pair]:
    """Return pairs on test prompts to measure a reward model with, categories in turn.

    ``ordinary`` orders two replies by the gold reward. ``hard`` gives both replies the same style,
    and only the better one a correct body: style does not help, and in reasoning neither does form.
    """
    draws = Draws(seed, f"tiny-instruct/evaluation-pairs/{kind}")
    samplers = [TaskSampler("test", {category: 1.0}) for category in CATEGORIES]
    make = _ordinary if kind == "ordinary" else _hard
    pairs: list[Pair] = []
    while len(pairs) < examples:
        task = samplers[len(pairs) % len(samplers)].draw(draws)
        if (replies := make(task, draws)) is not None:
            id_ = f"{kind}-{seed}-{len(pairs)}"
            pairs.append(Pair(id_, user(task.prompt), *replies, task.category, WORLD))
    return pairs


def _ordinary(task: Task, draws: Draws) -> tuple[str, str] | None:
    first = reply(task, good_share=GOOD_SHARE, draws=draws)
    second = reply(task, good_share=GOOD_SHARE, draws=draws)
    advantage = grade(task, first).points - grade(task, second).points
    if advantage == 0:
        return None
    return (first, second) if advantage > 0 else (second, first)


def _hard(task: Task, draws: Draws) -> tuple[str, str]:
    right, wrong = task.right(draws), task.wrong(draws)
    template = styled("{}", good=draws.chance(GOOD_SHARE), draws=draws)
    return template.format(right), template.format(wrong)
