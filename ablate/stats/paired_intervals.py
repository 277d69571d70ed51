"""Two more intervals of a difference of paired proportions, to hold against `bonett_price`.

The report uses Bonett and Price's, a closed form that is never undefined; papers also print these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import brentq

from ablate.stats.estimate import Claim, Estimate, wilson
from ablate.stats.quantiles import normal_quantile

_EDGE = 1 - 1e-12
"""Differences are searched below this: at 1 itself the score's variance is 0."""


@dataclass(frozen=True)
class PairedCounts:
    """Items by who has them right."""

    both: int
    gained: int
    """Right in the treatment only."""
    lost: int
    """Right in the control only."""
    neither: int

    @property
    def items(self) -> int:
        """All of them."""
        return self.both + self.gained + self.lost + self.neither


def tango(counts: PairedCounts, *, level: float = 0.95) -> Estimate:
    """Return the difference, a fraction, with Tango's score interval (1998, Stat. Med. 17).

    The bounds are the differences that a score test at the same level does not reject; the
    interval has no standard error. NaN without items.
    """
    items = counts.items
    if items == 0:
        return Estimate(math.nan, math.nan, math.nan, level=level)
    value = (counts.gained - counts.lost) / items
    z = normal_quantile((1 + level) / 2)
    low, high = _bound(counts, z, (-_EDGE, value)), _bound(counts, -z, (value, _EDGE))
    return _estimate(value, low, high, items=items, level=level)


def _bound(counts: PairedCounts, score: float, between: tuple[float, float]) -> float:
    """Return the difference with a score statistic, the outer end where none has it."""
    start, end = between

    def distance(difference: float) -> float:
        return _score(counts, difference) - score

    if distance(start) * distance(end) >= 0:
        return start if score > 0 else end
    return float(brentq(distance, start, end, xtol=1e-13))


def _score(counts: PairedCounts, difference: float) -> float:
    """Return the score statistic of a hypothesized difference: Tango's equation, p21 profiled."""
    n, gained, lost = counts.items, counts.gained, counts.lost
    linear = -gained - lost + (2 * n - gained + lost) * difference
    constant = -lost * difference * (1 - difference)
    share = (math.sqrt(max(0.0, linear**2 - 8 * n * constant)) - linear) / (4 * n)
    variance = n * (2 * share + difference * (1 - difference))
    distance = gained - lost - n * difference
    if variance <= 0:
        return math.copysign(math.inf, distance) if abs(distance) > 1e-9 else 0.0
    return distance / math.sqrt(variance)


def newcombe(counts: PairedCounts, *, level: float = 0.95) -> Estimate:
    """Return the difference, a fraction, with Newcombe's interval (1998, method 10).

    Wilson's bounds of both proportions, joined with the correlation of the pairs, which is
    corrected for continuity where it is positive. NaN without items.
    """
    items = counts.items
    if items == 0:
        return Estimate(math.nan, math.nan, math.nan, level=level)
    ours, theirs = counts.both + counts.gained, counts.both + counts.lost
    low, high = wilson(ours, items, level=level)
    other_low, other_high = wilson(theirs, items, level=level)
    left, right = ours / items, theirs / items
    phi = _correlation(counts)

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one**2 - 2 * phi * one * other + other**2))

    value = left - right
    below = value - reach(left - low, other_high - right)
    above = value + reach(right - other_low, high - left)
    return _estimate(value, below, above, items=items, level=level)


def _correlation(counts: PairedCounts) -> float:
    both, gained, lost, neither = counts.both, counts.gained, counts.lost, counts.neither
    margins = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    if margins == 0:
        return 0.0
    product = both * neither - gained * lost
    if product > 0:
        return max(product - counts.items / 2, 0.0) / math.sqrt(margins)
    return product / math.sqrt(margins)


def _estimate(value: float, low: float, high: float, *, items: int, level: float) -> Estimate:
    claim = Claim.CHECKPOINT
    return Estimate(value, low, high, math.nan, math.nan, items, 1, claim, level)
