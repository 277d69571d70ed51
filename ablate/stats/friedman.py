"""Several cells over several benchmarks: average ranks, Friedman's test, critical differences.

Of use from five benchmarks on; below, ranks over so few cannot tell anything and the pairwise
matrix of differences says more. The definitions are those of Demsar (2006, JMLR 7).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ablate.stats.estimate import FloatArray

FEWEST_BENCHMARKS = 5
"""Below this many no ranks are compared."""


@dataclass(frozen=True)
class Friedman:
    """Whether cells differ in rank at all, over benchmarks; rank 1 is the best."""

    ranks: FloatArray
    """Average rank of each cell, equal scores share theirs; shape (cells,)."""
    chi_square: float
    """Friedman's statistic without correction for ties, as Demsar prints it."""
    f_statistic: float
    """Iman and Davenport's, which is less conservative; infinite where all benchmarks agree."""
    p_value: float
    """Of `f_statistic` with k - 1 and (k - 1)(N - 1) degrees of freedom."""
    benchmarks: int

    def critical_difference(self, alpha: float = 0.05) -> float:
        """Return Nemenyi's: average ranks further apart than this differ at ``alpha``."""
        cells = len(self.ranks)
        quantile = float(stats.studentized_range.ppf(1 - alpha, cells, np.inf)) / math.sqrt(2)
        return quantile * math.sqrt(cells * (cells + 1) / (6 * self.benchmarks))


def friedman(scores: ArrayLike) -> Friedman:
    """Return the test of scores of shape (benchmarks, cells), higher is better.

    ``scipy.stats.friedmanchisquare`` corrects for ties and then differs from published values.
    Raises ValueError for fewer than two of either, and for a score that is not finite.
    """
    table = np.asarray(scores, np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or not np.isfinite(table).all():
        raise ValueError(
            f"scores of shape {table.shape}; two benchmarks and two cells at least, all scores"
            " finite, are allowed. Leave out what has no score."
        )
    count, cells = table.shape
    ranks = stats.rankdata(-table, axis=1).mean(axis=0)
    spread = float((ranks**2).sum()) - cells * (cells + 1) ** 2 / 4
    chi_square = 12 * count / (cells * (cells + 1)) * spread
    rest = count * (cells - 1) - chi_square
    f_statistic = (count - 1) * chi_square / rest if rest > 1e-9 else math.inf
    p_value = float(stats.f.sf(f_statistic, cells - 1, (cells - 1) * (count - 1)))
    return Friedman(ranks, chi_square, f_statistic, p_value, count)


def cliques(ranks: Sequence[float], difference: float) -> list[tuple[int, ...]]:
    """Return the largest groups of cells that a critical difference does not tell apart.

    Cells by index, best rank first; a cell that stands apart from all others is in no group.
    """
    order = [int(i) for i in np.argsort(ranks, kind="stable")]
    found: list[tuple[int, ...]] = []
    for start, cell in enumerate(order):
        group = tuple(i for i in order[start:] if ranks[i] - ranks[cell] < difference)
        if len(group) > 1 and not any(set(group) <= set(other) for other in found):
            found.append(group)
    return found
