"""What a reader must know of a single score: no better than chance, outside its target band."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ablate.reporting import text
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.contaminated import WITHOUT
from ablate.reporting.evidence import Evidence
from ablate.reporting.suite_tasks import chance_of
from ablate.spec.suites import TaskDefinition
from ablate.stats.estimate import Estimate, wilson

CHANCE, BAND = "†", "‡"
LEGEND = {
    CHANCE: "† Not shown above chance: the score's 95 % interval does not lie above the score of a"
    " policy that knows nothing. With two or three seeds intervals are wide, so a good score may"
    " carry the mark: more seeds tell.",
    BAND: "‡ Outside the task's target band, on either side: too little is a finding too.",
}


@dataclass(frozen=True)
class Flag:
    """A mark on a score."""

    symbol: str
    said: str


def flags_of(evidence: Evidence, metric: MetricRow, score: Estimate) -> tuple[Flag, ...]:
    """Return the marks of a cell's score on a metric."""
    return tuple(_flags(evidence, metric, score))


def _flags(evidence: Evidence, metric: MetricRow, score: Estimate) -> Iterator[Flag]:
    if math.isnan(score.value):
        return
    if metric.unit == "percent" and metric.level in ("task", "category", "average"):
        without = evidence.left_out if metric.metric == WITHOUT else frozenset()
        chance = chance_of(metric, evidence.tasks, without=without)
        if at_chance(score, chance, items=metric.n_items, lower=metric.direction == "lower"):
            yield Flag(CHANCE, _chance_text(score, chance, lower=metric.direction == "lower"))
    task = evidence.tasks.get(metric.metric) if metric.level == "task" else None
    if task is not None and (said := band_text(score.value, task)):
        yield Flag(BAND, said)


def _chance_text(score: Estimate, chance: float, *, lower: bool) -> str:
    """Say that a score is at chance, or that it seems better but its seeds cannot show it."""
    level = f"chance ({text.plain(chance)} %)"
    side = "below" if lower else "above"
    better = score.value < chance if lower else score.value > chance
    if not better:
        return f"not {side} {level}"
    seeds = f"{score.n_seeds} seed" + ("" if score.n_seeds == 1 else "s")
    return f"not shown {side} {level} with {seeds}"


def at_chance(score: Estimate, chance: float, *, items: int, lower: bool = False) -> bool:
    """Whether a percentage's 95 % interval does not lie on the good side of chance.

    Without an interval (one seed of fewer than 15 items, or items that are all alike) Wilson's over
    the items takes its place. Where chance is 0 only a score of 0 is no better.
    """
    if math.isnan(chance) or math.isnan(score.value):
        return False
    if chance == 0:
        return score.value <= 0 and not lower
    low, high = score.low, score.high
    if not score.defined:
        trials = score.n_items or items
        low, high = (100 * b for b in wilson(round(score.value * trials / 100), trials))
    return high >= chance if lower else low <= chance


def band_text(value: float, task: TaskDefinition) -> str:
    """Say on which side of its band a task's score is; empty inside it, and without one."""
    if task.band is None or math.isnan(value):
        return ""
    low, high = task.band
    shown = f"the target band of {low:g} to {high:g}"
    if value < low:
        told = ": over-filtering is a finding too" if task.direction == "lower" else ""
        return f"below {shown}{told}"
    return f"above {shown}" if value > high else ""


def legend_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the notes on the marks that the fields' texts carry."""
    found = set("".join(texts))
    return tuple(said for symbol, said in LEGEND.items() if symbol in found)
