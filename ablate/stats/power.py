"""How small a difference a design can see, before and after it ran.

With two or three seeds the spread over seeds is itself a guess from few numbers: the interval is
sometimes far too wide and its degrees of freedom few. A detectable effect computed as if both were
known promises too much (measured: found 4 times in 10 with two seeds instead of 8). So the spread
that the interval would see is drawn here, and the difference is the one that the *test* finds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from ablate.stats.crossed import Components
from ablate.stats.estimate import FloatArray
from ablate.stats.quantiles import normal_quantile, t_quantile

POWER = 0.8
DRAWS = 8192
"""Studies behind a detectable effect: its Monte Carlo error is below 1 %."""


@dataclass(frozen=True)
class Assumptions:
    """What a plan supposes about noise it has not measured; scores are percentages."""

    discordance: float = 0.2
    """Share of items that two checkpoints answer differently. Published pairs of models lie
    between 0.1 and 0.3."""
    seed_sd: float = 1.0
    """SD of a cell's score over training seeds, in points, without what single items add. No public
    estimate exists for DPO or PPO; replicate one cell to replace this."""
    power: float = POWER
    """Probability of seeing a difference of the detectable size."""
    stable_share: float = 0.3
    """Share of the discordance that is between the recipes and stays from seed to seed; the rest
    averages out over seeds. studies/grid.yaml has 0.29 for greedy and 0.08 for sampled replies
    (medians over its pairs of cells)."""


def detectable_effect(
    error: float, degrees: float, *, alpha: float = 0.05, power: float = POWER
) -> float:
    """Return the true difference found with probability ``power``, in the units of ``error``.

    (t_{1-alpha/2} + t_power) * error, for an error whose degrees of freedom are as stated: one over
    items. NaN without degrees of freedom. `detectable_difference` is for seeds.
    """
    if not (error > 0 and degrees > 0):
        return math.nan
    return (t_quantile(1 - alpha / 2, degrees) + t_quantile(power, degrees)) * error


def detectable_difference(
    parts: Components, seeds: int, *, alpha: float = 0.05, power: float = POWER
) -> float:
    """Return the true difference that the crossed interval finds with probability ``power``.

    ``parts`` are the components of a difference with ``seeds`` a side, planned or measured; they
    are taken as true, and the seed part that a study would see is drawn around its own (chi-square,
    the two sides as unequal as ``seed_degrees`` says). With one seed the claim is over items only.
    """
    if seeds < 2 or math.isnan(parts.seed):
        return detectable_effect(
            math.sqrt(parts.item), parts.item_degrees, alpha=alpha, power=power
        )
    if not parts.error > 0:
        return math.nan
    first, second, noise = _draws(seeds)
    share = _larger_share(parts.seed_degrees / (seeds - 1))
    sides = (parts.seed * share * first, parts.seed * (1 - share) * second)
    seen = sides[0] + sides[1]
    square = np.maximum(np.maximum(parts.item + seen - parts.overlap, parts.item), seen)
    spread = (sides[0] ** 2 + sides[1] ** 2) / (seeds - 1) + parts.item**2 / parts.item_degrees
    bound = _critical(alpha, square**2 / spread) * np.sqrt(square)
    return float(np.quantile(bound + parts.error * noise, power))


@lru_cache(maxsize=64)
def _draws(seeds: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return two chi-squares over their degrees and a standard normal, (DRAWS,) each."""
    rng = np.random.default_rng(seeds)
    first, second = rng.chisquare(seeds - 1, (2, DRAWS)) / (seeds - 1)
    even = [NormalDist().inv_cdf((index + 0.5) / DRAWS) for index in range(DRAWS)]
    return first, second, rng.permutation(np.array(even))


def _larger_share(ratio: float) -> float:
    """Return the larger side's share of the seed part from Welch's degrees over S - 1, 1 to 2."""
    return (1 + math.sqrt(max(0.0, 2 / max(1.0, ratio) - 1))) / 2


def _critical(alpha: float, degrees: FloatArray) -> FloatArray:
    """Return t_{1-alpha/2}, read off a table: exact to 0.1 %."""
    inverse, logarithm = _table(alpha)
    return np.asarray(np.exp(np.interp(1 / degrees, inverse, logarithm)), np.float64)


@lru_cache(maxsize=64)
def _table(alpha: float) -> tuple[FloatArray, FloatArray]:
    inverse = np.linspace(0.0, 1.0, 33)
    values = [t_quantile(1 - alpha / 2, 1 / x if x else math.inf) for x in inverse]
    return inverse, np.log(values)


def planned_components(items: Sequence[int], seeds: int, assumptions: Assumptions) -> Components:
    """Return the components (points squared) that a planned difference is expected to have.

    ``items`` holds the size of each equally weighted stratum (six categories of an Average, or
    one). With one seed there is no seed part.
    """
    share = 1.0 / len(items)
    item = sum(share * share * 100.0**2 * assumptions.discordance / n for n in items)
    degrees = float(sum(n - 1 for n in items))
    if seeds < 2:
        return Components(item, math.nan, math.nan, degrees, math.nan)
    overlap = item * (1 - assumptions.stable_share) / seeds
    seed = 2 * assumptions.seed_sd**2 / seeds + overlap
    stable = item * assumptions.stable_share
    return Components(stable + overlap, seed, overlap, degrees, 2.0 * (seeds - 1))


def planned_effect(
    items: Sequence[int],
    seeds: int,
    *,
    assumptions: Assumptions | None = None,
    alpha: float = 0.05,
    comparisons: int = 1,
) -> float:
    """Return the smallest difference (points) that a planned study detects.

    ``comparisons`` is the size of the family; alpha is divided by it.
    """
    chosen = assumptions or Assumptions()
    parts = planned_components(items, seeds, chosen)
    level = alpha / max(1, comparisons)
    return detectable_difference(parts, seeds, alpha=level, power=chosen.power)


def items_needed(
    effect: float, variance: float, *, alpha: float = 0.05, power: float = POWER
) -> int:
    """Return the paired items that resolve ``effect`` (Miller 2024, arXiv:2411.00640).

    ``variance`` is that of an item's difference, in the squared units of ``effect``; no seeds.
    """
    z = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    return math.ceil(z * z * variance / effect**2 - 1e-9)


def seeds_needed(
    parts: Components,
    seeds: int,
    margin: float,
    *,
    alpha: float = 0.05,
    comparisons: int = 1,
    most: int = 50,
) -> int | None:
    """Return the seeds a side at which ``margin`` becomes detectable; None if seeds cannot do it.

    Of the measured components the seed part and what items and seeds share go down as 1 / S; the
    rest of the item part stays. ``alpha`` is divided by the ``comparisons`` of the family.
    """
    if math.isnan(parts.seed):
        return None
    level = alpha / max(1, comparisons)

    def resolved(count: int) -> bool:
        return detectable_difference(_at(parts, seeds, count), count, alpha=level) <= margin

    low, high = max(2, seeds + 1), most
    if low > high or not resolved(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if resolved(middle) else (middle + 1, high)
    return low


def _at(parts: Components, seeds: int, count: int) -> Components:
    """Return what components measured with ``seeds`` a side would be with ``count``."""
    scale = seeds / count
    shared = min(parts.overlap, parts.item)
    item = parts.item - shared + shared * scale
    degrees = parts.seed_degrees * (count - 1) / (seeds - 1)
    return Components(item, parts.seed * scale, shared * scale, parts.item_degrees, degrees)
