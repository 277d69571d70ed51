"""The best of k trials, and how well a number of trials tells it.

Lourie, He and Cho 2024, Show Your Work with Confidence (arXiv:2311.09480): a confidence band around
the distribution of one trial's score becomes, through ``F(y)^k``, one around the best of k, for all
k at once. It holds for trials that are drawn independently, as random search draws them, whatever
the distribution of their scores; nothing is assumed of its shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import special

from ablate.stats.estimate import FloatArray

SIMULATIONS = 20_000
"""Simulated searches behind a band's level: its standard error at 95 % is 0.15 points."""
LARGEST = 2_000_000
"""Simulated draws in all; searches of over 100 draws are simulated less often, 2,000 times at least
(0.5 points)."""


@dataclass(frozen=True)
class TuningCurve:
    """The median of the best of k draws, for k from 1 to their number."""

    k: FloatArray
    """Number of draws."""
    median: FloatArray
    """Half of all searches of k draws find something this good, as far as these draws tell; -inf
    where that is a draw without a value."""
    low: FloatArray
    """Lower bound, -inf where there is none."""
    high: FloatArray
    """Upper bound, inf where the draws set none: nobody knows what a rarer draw would bring."""


def tuning_curve(scores: Sequence[float], *, level: float = 0.95) -> TuningCurve:
    """Return the best-of-k curve of independent draws with its simultaneous band.

    ``scores`` are what each draw reached, higher better; NaN for one without a value, which counts
    as worse than every other. The median and not the mean, which the paper gives as well: the mean
    has no finite band unless the scores have known bounds. The whole true curve lies inside with
    probability ``level`` at least.
    """
    ordered = np.sort(np.where(np.isnan(scores), -np.inf, np.asarray(scores, float)))
    n = len(ordered)
    k = np.arange(1, n + 1, dtype=float)
    if n == 0:
        return TuningCurve(k, k, k, k)
    below, above = order_band(n, level)
    # The best of k is under y with probability F(y)^k, so its median is F's quantile at 2^(-1/k).
    shares = 0.5 ** (1.0 / k)
    exact = np.ceil(shares * n - 1e-9).astype(int) - 1
    # F lies over `below[i]` from the i-th draw on, and under `above[i]` before it.
    reached = np.array([np.searchsorted(below, share) for share in shares])
    possible = np.array([np.searchsorted(above, share) for share in shares]) - 1
    padded = np.concatenate([ordered, [np.inf]])
    low = np.where(possible < 0, -np.inf, ordered[np.maximum(possible, 0)])
    return TuningCurve(k, ordered[exact], low, padded[reached])


@cache
def order_band(n: int, level: float) -> tuple[FloatArray, FloatArray]:
    """Return bounds of F at the n ordered draws, which hold for all of them at once.

    At the i-th of n draws F is distributed as Beta(i, n + 1 - i), whatever F is. The bounds are
    equal-tailed quantiles of it, at one probability for all i that makes them hold together: the
    paper's equal-tailed band. That probability is simulated, from a generator of its own.
    """
    i = np.arange(1, n + 1)
    times = max(2_000, min(SIMULATIONS, LARGEST // n))
    uniform = np.sort(np.random.default_rng([n, 231109480]).random((times, n)), axis=1)
    share = special.betainc(i, n + 1 - i, uniform)
    tail = float(np.quantile(np.minimum(share, 1 - share).min(axis=1), 1 - level))
    bounds: list[FloatArray] = [
        np.asarray(special.betaincinv(i, n + 1 - i, p), float) for p in (tail, 1 - tail)
    ]
    return bounds[0], bounds[1]


def best_so_far(scores: Sequence[float]) -> FloatArray:
    """Return the best score after each trial in order; NaN before the first that has one."""
    best, found = math.nan, []
    for score in scores:
        best = score if math.isnan(best) else (best if math.isnan(score) else max(best, score))
        found.append(best)
    return np.array(found)
