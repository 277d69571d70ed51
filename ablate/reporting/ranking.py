"""How far the order of a study's cells can be trusted: ranks, pairs, benchmarks."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from scipy.sparse.csgraph import connected_components

from ablate.reporting.artifacts import MetricRow
from ablate.reporting.evidence import Evidence
from ablate.reporting.findings import Findings
from ablate.stats.crossed import Arm
from ablate.stats.estimate import FloatArray
from ablate.stats.friedman import Friedman, friedman
from ablate.stats.pairwise_ratings import bradley_terry
from ablate.stats.profiles import improvement_probability
from ablate.stats.ranks import pairwise_p, rank_band, rank_distribution

FEWEST_CELLS = 3
"""Two cells are a contrast; they have no ranking."""
MOST_CELLS = 30
"""Cells that are ranked, those with the best scores."""
DRAWS = 4000
TAIL = 0.025
"""Left out at either end of an interval of ranks."""


@dataclass(frozen=True)
class Ranking:
    """The cells that have items in common, best score first."""

    cells: tuple[str, ...]
    arms: tuple[Arm, ...]
    chances: FloatArray
    """Probability of each rank, (cells, ranks)."""
    best: tuple[bool, ...]
    """Which cells cannot be told from the one with the best score, itself included."""
    left_out: tuple[str, ...]
    """Sentences on cells that are not ranked."""
    seed: int
    alpha: float

    @property
    def has_one_seed(self) -> bool:
        """Whether a cell has one seed, so that nothing is known of its spread over seeds."""
        return min(arm.n_seeds for arm in self.arms) < 2

    @cached_property
    def mean_ranks(self) -> FloatArray:
        """Return the expected rank of each cell, 1 the best."""
        return np.asarray(self.chances @ np.arange(1, len(self.cells) + 1), np.float64)

    def interval(self, place: int) -> tuple[int, int]:
        """Return the ranks that hold 95 % of the probability of a cell."""
        reached = np.cumsum(self.chances[place])
        low = int(np.searchsorted(reached, TAIL)) + 1
        high = int(np.searchsorted(reached, 1 - TAIL)) + 1
        return low, min(high, len(self.cells))

    def pairs(self, shown: Sequence[int]) -> dict[tuple[int, int], float]:
        """Return adjusted p-values of pairs, by place; never at odds with `best`."""
        return pairwise_p(self.arms, shown, draws=DRAWS, seed=self.seed)


_MADE: WeakKeyDictionary[Evidence, Ranking | None] = WeakKeyDictionary()
"""By what was read: the figure, two tables and the text of one report ask for the same."""


def ranking_of(found: Findings) -> Ranking | None:
    """Return the ranking on the primary metric, or None for fewer than three cells with items."""
    if found.evidence not in _MADE:
        _MADE[found.evidence] = _ranking(found)
    return _MADE[found.evidence]


def _ranking(found: Findings) -> Ranking | None:
    evidence, metric = found.evidence, found.evidence.metric(found.study.primary)
    if metric is None or metric.direction == "none":
        return None
    arms, left_out = _arms(found, metric)
    if len(arms) < FEWEST_CELLS:
        return None
    lower = metric.direction == "lower"
    order = sorted(arms, key=lambda cell: arms[cell].score * (1 if lower else -1))
    if len(order) > MOST_CELLS:
        left_out.append(f"{len(order) - MOST_CELLS} cells with worse scores are not ranked.")
    cells = tuple(order[:MOST_CELLS])
    chosen = [arms[cell] for cell in cells]
    seed, alpha = zlib.crc32(f"{evidence.study.digest} ranks".encode()), found.study.alpha
    chances = rank_distribution(chosen, draws=DRAWS, seed=seed, lower_is_better=lower)
    best = rank_band(chosen, alpha=alpha, draws=DRAWS, seed=seed, lower_is_better=lower)
    return Ranking(cells, tuple(chosen), chances, best, tuple(left_out), seed, alpha)


def _arms(found: Findings, metric: MetricRow) -> tuple[dict[str, Arm], list[str]]:
    """Return the arms of all valid cells on the items that most cells have, and what is left."""
    evidence, arms = found.evidence, {}
    for cell in found.study.cells:
        seeds = [run.seed for run in evidence.finished(cell)]
        if seeds and not evidence.invalid(cell):
            arm = evidence.arm(cell, metric.metric, seeds)
            if arm is not None:
                arms[cell] = arm
    shapes = {cell: evidence.keys(cell, metric.metric) for cell in arms}
    counts = [list(shapes.values()).count(shape) for shape in shapes.values()]
    common = list(shapes.values())[int(np.argmax(counts))] if counts else None
    kept = {cell: arm for cell, arm in arms.items() if shapes[cell] == common}
    out = [c for c in found.study.cells if c not in kept and evidence.values(c, metric.metric)]
    shown = ", ".join(out[:4]) + (f" and {len(out) - 4} more" if len(out) > 4 else "")
    why = "invalid, or without scores of the same items"
    return kept, [f"Not ranked: {shown}; {why}."] if out else []


@dataclass(frozen=True)
class Benchmarks:
    """Scores of cells on several benchmarks, higher is better."""

    names: tuple[str, ...]
    cells: tuple[str, ...]
    runs: tuple[FloatArray, ...]
    """Per cell an array (seeds, benchmarks)."""

    @cached_property
    def means(self) -> FloatArray:
        """Return the mean over seeds, (cells, benchmarks)."""
        return np.array([rows.mean(axis=0) for rows in self.runs])

    def record(self, one: int, other: int) -> tuple[int, int, int]:
        """Return on how many benchmarks a cell's mean is above, at and below another's."""
        difference = self.means[one] - self.means[other]
        return (
            int((difference > 0).sum()),
            int((difference == 0).sum()),
            int((difference < 0).sum()),
        )

    @cached_property
    def strengths(self) -> FloatArray:
        """Return Bradley-Terry logits from wins over benchmarks and pairs of runs, mean 0.

        A benchmark counts once, however many runs there are. NaN for cells that never win or never
        lose against the others: they have no finite strength, and are no games of the others.
        """
        count = len(self.cells)
        wins = np.zeros((count, count))
        for one in range(count):
            for other in range(count):
                if one != other:
                    chance = improvement_probability(self.runs[one], self.runs[other])
                    wins[one, other] = chance * len(self.names)
        _, group = connected_components(wins > 0, directed=True, connection="strong")
        largest = group == np.bincount(group).argmax()
        found = np.full(count, np.nan)
        if largest.sum() > 1:
            found[largest] = bradley_terry(wins[np.ix_(largest, largest)])
        return np.asarray(found - np.nanmean(found) if largest.sum() > 1 else found, np.float64)

    @cached_property
    def test(self) -> Friedman:
        """Return Friedman's test over benchmarks."""
        return friedman(self.means.T)


def benchmarks_of(found: Findings, cells: Sequence[str] | None = None) -> Benchmarks | None:
    """Return the scores of valid cells on the study's tasks, or on its categories.

    Tasks where there are as many as categories at least. A metric whose direction is unknown is
    none, and one where lower is better is turned. Cells that miss any are left out; None for fewer
    than two of either.
    """
    evidence = found.evidence
    tasks, categories = (
        [n for n in names if evidence.metrics[n].direction != "none"]
        for names in (evidence.scored_tasks, evidence.categories)
    )
    names = tasks if len(tasks) >= len(categories) else categories
    kept: dict[str, FloatArray] = {}
    for cell in cells if cells is not None else found.study.cells:
        if not evidence.invalid(cell) and (rows := _rows(evidence, cell, names)) is not None:
            kept[cell] = rows
    if len(names) < 2 or len(kept) < 2:
        return None
    return Benchmarks(tuple(names), tuple(kept), tuple(kept.values()))


def _rows(evidence: Evidence, cell: str, names: Sequence[str]) -> FloatArray | None:
    """Return (seeds, benchmarks) of the seeds that have every benchmark."""
    values = [evidence.values(cell, name) for name in names]
    if not values or not all(values):
        return None
    seeds = sorted(set.intersection(*(set(one) for one in values)))
    signs = [-1.0 if evidence.metrics[name].direction == "lower" else 1.0 for name in names]
    rows = np.array(
        [[s * one[seed] for s, one in zip(signs, values, strict=True)] for seed in seeds]
    )
    whole = rows[np.isfinite(rows).all(axis=1)] if len(rows) else rows
    return whole if len(whole) else None


def pooled_noise(runs: Sequence[FloatArray], place: int) -> FloatArray:
    """Return scores of one benchmark as one recipe with all cells' spread over seeds would have.

    Around the mean of all cells; their standard deviation over n is the cells' pooled one. Empty
    where no cell has two seeds.
    """
    columns = [rows[:, place] for rows in runs if len(rows) > 1]
    if not columns:
        return np.zeros(0)
    centre = float(np.mean([column.mean() for column in columns]))
    spread = [(c - c.mean()) * math.sqrt(len(c) / (len(c) - 1)) for c in columns]
    return np.asarray(centre + np.concatenate(spread), np.float64)
