"""Levels for looking at growing data several times: what each look may spend of alpha.

A study that adds seeds where its verdicts are inconclusive looks at the same difference again and
again. Each look k has a nominal level a_k, and a difference is called at a look where its p-value
there lies below it. The levels that a study uses add up to alpha,

    a_k = spent(n_k / n_K) - spent(n_(k-1) / n_K)        sum a_k = alpha

with spent(t) the alpha-spending function of Lan and DeMets (1983): by Boole's inequality no more
than alpha is called in error, whatever the correlation between looks and whatever stops the study.
The departure from the usual group-sequential levels (`gaussian_levels`), which take back what
correlated looks have in common, is on purpose: they suppose Gaussian statistics, and with Student's
t of three to eight seeds they call 5.3 to 5.8 % (scripts/campaigns/looks.py). What they would give
back is little here: the fewer the seeds, the less correlated are the t of two looks.

Every level is one of a nested family, so a p-value at a look has an overall one: the smallest alpha
whose level at this look it reaches. Overall p-values hold whenever a comparison stops, so Holm's
steps over comparisons that stopped at different looks hold too (Ye, Li, Liu and Yao 2013), and the
intervals at the nominal levels are the repeated confidence intervals of Jennison and Turnbull
(1989).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ablate.stats.quantiles import normal_quantile

Spend = Literal["even", "obrien-fleming"]
"""``even``: each look the same. ``obrien-fleming``: next to nothing early, most at the last."""
LARGEST = 0.5
"""Overall p-values above this are given as 1: the family of levels is nested up to here."""
_LOWEST = -9.0
"""Where a Gaussian statistic's density is cut off below."""


def upper_tail(z: float) -> float:
    """Return P(Z > z) of a standard normal."""
    return math.erfc(z / math.sqrt(2)) / 2


def obrien_fleming(alpha: float, fraction: float) -> float:
    """Return the one-sided alpha spent by a fraction of the data (Lan and DeMets 1983, alpha_1).

    2 (1 - Phi(z_{alpha/2} / sqrt(t))).
    """
    return 2 * upper_tail(-normal_quantile(alpha / 2) / math.sqrt(fraction))


def pocock(alpha: float, fraction: float) -> float:
    """Return the one-sided alpha spent by a fraction of the data (Lan and DeMets 1983, alpha_2).

    alpha log(1 + (e - 1) t).
    """
    return alpha * math.log1p((math.e - 1) * fraction)


@dataclass(frozen=True)
class Looks:
    """The looks that a study declares before its results."""

    counts: tuple[int, ...]
    """Seeds a side at each look, rising."""
    spend: Spend = "even"

    def levels(self, alpha: float) -> tuple[float, ...]:
        """Return the two-sided nominal level of each look; they add up to ``alpha``."""
        spent = [0.0, *(self._spent(alpha, count) for count in self.counts)]
        return tuple(after - before for before, after in pairwise(spent))

    def level(self, alpha: float, number: int) -> float:
        """Return the two-sided nominal level of one look, from 1."""
        before = self._spent(alpha, self.counts[number - 2]) if number > 1 else 0.0
        return self._spent(alpha, self.counts[number - 1]) - before

    def _spent(self, alpha: float, count: int) -> float:
        """Return the two-sided alpha that is spent at ``count`` seeds."""
        if self.spend == "even":
            return alpha * (self.counts.index(count) + 1) / len(self.counts)
        return 2 * obrien_fleming(alpha / 2, count / self.counts[-1])

    def at(self, number: int) -> Look:
        """Return a look by its number, from 1."""
        return Look(self, number)


@dataclass(frozen=True)
class Look:
    """One of several declared looks."""

    looks: Looks
    number: int
    """From 1."""

    @property
    def seeds(self) -> int:
        """Seeds a side."""
        return self.looks.counts[self.number - 1]

    @property
    def is_last(self) -> bool:
        """Whether none follows."""
        return self.number == len(self.looks.counts)

    def level(self, alpha: float) -> float:
        """Return the two-sided nominal level here when all looks together have ``alpha``."""
        return self.looks.level(alpha, self.number)

    def overall(self, p_value: float) -> float:
        """Return the smallest alpha at which a two-sided p-value here is below its level.

        Never below ``p_value``; 1 above `LARGEST`, NaN for NaN.
        """
        if math.isnan(p_value) or p_value <= 0:
            return p_value
        if p_value >= self.level(LARGEST):
            return 1.0
        if self.looks.spend == "even":
            return p_value * len(self.looks.counts)
        low, high = math.log(p_value), math.log(LARGEST)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if self.level(math.exp(middle)) >= p_value else (middle, high)
        return max(p_value, math.exp(high))


def gaussian_levels(
    alpha: float, fractions: Sequence[float], spend: Callable[[float, float], float]
) -> tuple[float, ...]:
    """Return one-sided nominal levels of looks at Gaussian statistics that spend ``alpha`` exactly.

    ``fractions`` of the data at each look rise to 1; statistics of two looks correlate as
    sqrt(t_j / t_k) (Armitage, McPherson and Rowe 1969; Lan and DeMets 1983, whose tables are
    tests). For your own numbers: the report uses `Looks`, which supposes no distribution.
    """
    levels: list[float] = []
    density: _Density | None = None
    for fraction in fractions:
        before = spend(alpha, density.fraction) if density is not None else 0.0
        share = spend(alpha, fraction) - before
        bound = _bound(density, fraction, share)
        density = _continued(density, fraction, bound)
        levels.append(upper_tail(bound))
    return tuple(levels)


def crossing(bounds: Sequence[float], fractions: Sequence[float]) -> float:
    """Return the probability that Gaussian statistics exceed one of their bounds at its look."""
    total, density = 0.0, None
    for bound, fraction in zip(bounds, fractions, strict=True):
        total += _exceeds(density, fraction, bound)
        density = _continued(density, fraction, bound)
    return total


@dataclass(frozen=True)
class _Density:
    """A statistic at a look, among the studies that were not stopped: weights at nodes."""

    fraction: float
    nodes: NDArray[np.float64]
    weights: NDArray[np.float64]

    def step(self, fraction: float) -> tuple[float, float]:
        """Return how a later statistic follows: its correlation, and the SD of what is new."""
        correlation = math.sqrt(self.fraction / fraction)
        return correlation, math.sqrt(1 - correlation**2)


def _exceeds(before: _Density | None, fraction: float, bound: float) -> float:
    if before is None:
        return upper_tail(bound)
    correlation, spread = before.step(fraction)
    tails = [upper_tail((bound - correlation * float(z)) / spread) for z in before.nodes]
    return float(before.weights @ np.array(tails))


def _bound(before: _Density | None, fraction: float, share: float) -> float:
    """Return what is exceeded with probability ``share``."""
    low, high = _LOWEST, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        above = _exceeds(before, fraction, middle) > share
        low, high = (middle, high) if above else (low, middle)
    return (low + high) / 2


def _continued(before: _Density | None, fraction: float, bound: float) -> _Density:
    """Return the statistic at a look where it did not exceed ``bound``."""
    points, weights = _legendre()
    half = (bound - _LOWEST) / 2
    nodes = _LOWEST + half * (points + 1)
    if before is None:
        height = np.exp(-(nodes**2) / 2) / math.sqrt(2 * math.pi)
    else:
        correlation, spread = before.step(fraction)
        steps = (nodes[:, None] - correlation * before.nodes) / spread
        kernel = np.exp(-(steps**2) / 2) / (spread * math.sqrt(2 * math.pi))
        height = kernel @ before.weights
    return _Density(fraction, nodes, height * weights * half)


@lru_cache
def _legendre() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points, weights = np.polynomial.legendre.leggauss(200)
    return np.asarray(points, np.float64), np.asarray(weights, np.float64)
