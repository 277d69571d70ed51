"""What to expect of the best of many: estimates drawn towards the mean of their family."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import integrate, optimize, stats

from ablate.stats.estimate import FloatArray

FEWEST = 3
"""Effects below which a family says nothing about how effects spread."""


def shrunken(values: Sequence[float], errors: Sequence[float]) -> list[float]:
    """Return empirical-Bayes estimates of the effects of one family, in the order given.

    mu + tau^2 / (tau^2 + SE^2) (value - mu), with tau^2 the variance of true effects by Paule and
    Mandel (1982), floored at 0, and mu the mean of the family weighted by 1 / (tau^2 + SE^2). NaN
    where the error is NaN or 0, and for all of a family with fewer than three others.
    """
    y, error = np.asarray(values, np.float64), np.asarray(errors, np.float64)
    known = np.isfinite(y) & (error > 0)
    result = np.full(len(y), math.nan)
    if known.sum() >= FEWEST:
        variances = error[known] ** 2
        between = between_variance(y[known], variances)
        mean = _mean(y[known], variances + between)
        result[known] = mean + between / (between + variances) * (y[known] - mean)
    return [float(value) for value in result]


def between_variance(values: FloatArray, variances: FloatArray) -> float:
    """Return the variance of true effects behind ``values``: Paule and Mandel's root, or 0.

    The tau^2 at which the squared residuals, weighted by 1 / (tau^2 + SE^2), sum to k - 1.
    """

    def excess(between: float) -> float:
        total = variances + between
        return float(((values - _mean(values, total)) ** 2 / total).sum()) - (len(values) - 1)

    if excess(0.0) <= 0:
        return 0.0
    # The sum falls below k - 1 at the latest where tau^2 alone explains all the spread.
    most = float(((values - values.mean()) ** 2).sum())
    return float(optimize.brentq(excess, 0.0, most, xtol=1e-12 * most))


def _mean(values: FloatArray, variances: FloatArray) -> float:
    return float((values / variances).sum() / (1 / variances).sum())


def expected_maximum(cells: int) -> float:
    """Return how far the best of ``cells`` equal cells lies above them, in standard errors."""

    def density(x: float) -> float:
        return float(x * cells * stats.norm.pdf(x) * stats.norm.cdf(x) ** (cells - 1))

    return float(integrate.quad(density, -10, 10)[0])
