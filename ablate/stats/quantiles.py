"""Normal and Student-t probabilities without scipy, so that planning a study stays light."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

NORMAL_DEGREES = 1e7
"""From here on Student's t is the normal distribution to more than 7 digits."""


def normal_quantile(probability: float) -> float:
    """Return z with P(Z <= z) equal to ``probability``, which lies strictly between 0 and 1."""
    return NormalDist().inv_cdf(probability)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularized incomplete beta function I_x(a, b) for 0 <= x <= 1."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1) / (a + b + 2):  # The fraction converges fast only below the mean.
        return 1.0 - incomplete_beta(b, a, 1.0 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    log_front += a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) * _beta_fraction(a, b, x) / a


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Evaluate the continued fraction of I_x (DLMF 8.17.22) by the modified Lentz method."""
    value, c, d = 1.0, 1.0, 0.0
    for index in range(1, 2000):
        m = index // 2
        if index % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / (1.0 + term * d)
        c = 1.0 + term / c
        value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return 1.0 / value


def t_two_sided(statistic: float, degrees: float) -> float:
    """Return P(|T| >= |statistic|) for Student's t with ``degrees`` (any positive number)."""
    if math.isnan(statistic) or math.isnan(degrees):
        return math.nan
    if math.isinf(statistic):
        return 0.0
    if degrees >= NORMAL_DEGREES:
        return math.erfc(abs(statistic) / math.sqrt(2))
    return incomplete_beta(degrees / 2, 0.5, degrees / (degrees + statistic * statistic))


@lru_cache(maxsize=4096)
def t_quantile(probability: float, degrees: float) -> float:
    """Return t with P(T <= t) equal to ``probability``; ``degrees`` need not be whole."""
    if math.isnan(degrees):
        return math.nan
    if degrees >= NORMAL_DEGREES:
        return normal_quantile(probability)
    if probability < 0.5:
        return -t_quantile(1 - probability, degrees)
    tail = 2 * (1 - probability)
    # Newton's steps from Cornish and Fisher's first two terms: 4 evaluations of the continued
    # fraction where halving an interval takes 45, and a large report asks for thousands. The tail
    # is convex, so a step from below stays below; no quantile is smaller than the normal one.
    least = normal_quantile(probability)
    value = least + (least**3 + least) / (4 * degrees) if degrees > 2 else least
    for _ in range(1000):
        excess = t_two_sided(value, degrees) - tail
        following = max(least, value + excess / (2 * _t_density(value, degrees)))
        # The next step would be this one's square, beyond what the tail's own digits can tell.
        if abs(following - value) <= 1e-8 * value + 1e-10:
            return following
        value = following
    return value


def _t_density(value: float, degrees: float) -> float:
    half = (degrees + 1) / 2
    log_front = math.lgamma(half) - math.lgamma(degrees / 2) - math.log(degrees * math.pi) / 2
    return math.exp(log_front - half * math.log1p(value * value / degrees))
