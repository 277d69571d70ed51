"""One number with its interval: the result object of every statistic here, and single scores."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ablate.stats.quantiles import normal_quantile, t_quantile, t_two_sided
from ablate.stats.sequential import Look

FloatArray = NDArray[np.float64]
FEWEST_ITEMS = 15
"""Below this many items no interval over items is given (the floor of evalstats 0.3.3)."""

ROUNDING = 1e-12
"""A relative error below this is rounding of equal numbers and no spread."""


class Claim(StrEnum):
    """The population an interval speaks about."""

    CHECKPOINT = "checkpoint"
    """These checkpoints, on items like these: the interval holds the items' spread only."""
    RECIPE = "recipe"
    """These recipes, on items like these: the spread of items and of training seeds."""
    DATASETS = "datasets"
    """Other levels of a factor too: the spread over its levels."""


@dataclass(frozen=True)
class Estimate:
    """A mean or a difference and its interval; the bounds are NaN where none is defined."""

    value: float
    low: float
    high: float
    standard_error: float = math.nan
    degrees: float = math.nan
    """Degrees of freedom of Student's t behind the interval; infinity means normal."""
    n_items: int = 0
    n_seeds: int = 0
    """Independent training runs a side, never the number of evaluation samples."""
    claim: Claim = Claim.CHECKPOINT
    level: float = 0.95
    shift: float = 0.0
    """Centre of the interval less `value`; not 0 for Bonett and Price, who draw it towards 0."""
    look: Look | None = None
    """The look at which it was made, of several that its study declares: p-values and intervals
    then hold for all looks together."""

    @property
    def defined(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def p_value(self) -> float:
        """Two-sided p of the hypothesis that the number is 0; NaN without an interval."""
        if not self.defined:
            return math.nan
        return self.overall(
            t_two_sided((self.value + self.shift) / self.standard_error, self.degrees)
        )

    def overall(self, p_value: float) -> float:
        """Return what a two-sided p of this data alone is when all looks are counted."""
        return p_value if self.look is None else self.look.overall(p_value)

    def bounds(self, level: float) -> tuple[float, float]:
        """Return the interval at another level, (NaN, NaN) where none is defined."""
        if not self.defined:
            return math.nan, math.nan
        kept = level if self.look is None else 1 - self.look.level(1 - level)
        half = t_quantile((1 + kept) / 2, self.degrees) * self.standard_error
        centre = self.value + self.shift
        return centre - half, centre + half

    def at(self, look: Look) -> Estimate:
        """Return it as of a look: with the interval that holds at all looks together."""
        seen = replace(self, look=look)
        low, high = seen.bounds(self.level)
        return replace(seen, low=low, high=high)


def from_error(
    value: float,
    error: float,
    *,
    degrees: float,
    sizes: tuple[int, int],
    claim: Claim,
    level: float = 0.95,
) -> Estimate:
    """Return the Student-t interval of ``value``; ``sizes`` is (items, seeds).

    A standard error of 0 or NaN gives no interval: a spread that was not seen is not a spread of 0.
    """
    half = math.nan
    if error > ROUNDING * max(1.0, abs(value)) and degrees > 0:
        half = t_quantile((1 + level) / 2, degrees) * error
    else:
        error = math.nan
    return Estimate(
        value, value - half, value + half, error, degrees, sizes[0], sizes[1], claim, level
    )


def wilson(successes: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval of a proportion; (NaN, NaN) without trials.

    Never of width 0: 0 of 20 gives (0, 0.161).
    """
    if trials == 0:
        return math.nan, math.nan
    z = normal_quantile((1 + level) / 2)
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_error(
    scores: ArrayLike, clusters: Sequence[Hashable] | None = None
) -> tuple[float, float]:
    """Return the standard error of the mean of item scores and its degrees of freedom.

    With ``clusters`` (passages, templates, conversations: anything that ties items together) the
    error is sqrt(C/(C-1) * sum over clusters of squared residual sums) / n, with C - 1 degrees;
    the C/(C-1) that Miller (arXiv:2411.00640) leaves out is kept. Raises ValueError where a
    cluster key is missing, because a misdeclared key must fail and not degrade.
    """
    values = np.asarray(scores, dtype=np.float64)
    n = len(values)
    if clusters is None:
        return (float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan), n - 1
    sums = np.bincount(cluster_index(clusters, n), weights=values - values.mean())
    count = len(sums)
    if count < 2:
        return math.nan, 0
    return math.sqrt(count / (count - 1) * float(sums @ sums)) / n, count - 1


def cluster_index(clusters: Sequence[Hashable], count: int) -> NDArray[np.intp]:
    """Return the number of each item's cluster, from 0; ValueError where a key is missing."""
    keys = list(clusters)
    if len(keys) != count or any(_missing(key) for key in keys):
        raise ValueError(
            f"{count} scores need {count} cluster keys, none of them missing; fix the keys"
        )
    _, index = np.unique(np.array([repr(key) for key in keys]), return_inverse=True)
    return np.asarray(index, np.intp)


def _missing(key: Hashable) -> bool:
    return key is None or (isinstance(key, float) and math.isnan(key))


def mean_estimate(
    scores: ArrayLike, clusters: Sequence[Hashable] | None = None, *, level: float = 0.95
) -> Estimate:
    """Return the mean of item scores of one checkpoint with its t interval.

    Fewer than 15 items give no interval. Resamples of an item are averaged before this.
    """
    values = np.asarray(scores, dtype=np.float64)
    if len(values) == 0:
        return Estimate(math.nan, math.nan, math.nan)
    error, degrees = mean_error(values, clusters)
    if len(values) < FEWEST_ITEMS:
        error = math.nan
    sizes = (len(values), 1)
    claim = Claim.CHECKPOINT
    mean = float(values.mean())
    return from_error(mean, error, degrees=degrees, sizes=sizes, claim=claim, level=level)
