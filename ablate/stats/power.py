"""How small a difference a design can see, before and after it ran."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.stats.crossed import Components
from ablate.stats.quantiles import normal_quantile, t_quantile

POWER = 0.8


@dataclass(frozen=True)
class Assumptions:
    """What a plan supposes about noise it has not measured; scores are percentages."""

    discordance: float = 0.2
    """Share of items that two checkpoints answer differently. Published pairs of models lie
    between 0.1 and 0.3."""
    seed_sd: float = 1.0
    """SD of a cell's score over training seeds, in points. No public estimate exists for DPO or
    PPO; replicate one cell to replace this."""
    power: float = POWER
    """Probability of seeing a difference of the detectable size."""


def detectable_effect(
    error: float, degrees: float, *, alpha: float = 0.05, power: float = POWER
) -> float:
    """Return the true difference found with probability ``power``, in the units of ``error``.

    (t_{1-alpha/2} + t_power) * error; NaN without degrees of freedom.
    """
    if not (error > 0 and degrees > 0):
        return math.nan
    return (t_quantile(1 - alpha / 2, degrees) + t_quantile(power, degrees)) * error


def planned_error(
    items: Sequence[int], seeds: int, assumptions: Assumptions
) -> tuple[float, float]:
    """Return standard error (points) and degrees of freedom of a planned difference.

    ``items`` holds the size of each equally weighted stratum (six categories of an Average, or
    one). With one seed the error is over items only.
    """
    share = 1.0 / len(items)
    square = 100.0**2 * assumptions.discordance
    item = sum(share * share * square / n for n in items)
    item_degrees = float(sum(n - 1 for n in items))
    if seeds < 2:
        return math.sqrt(item), item_degrees
    seed = 2 * assumptions.seed_sd**2 / seeds
    total = item + seed
    degrees = total**2 / (item**2 / item_degrees + seed**2 / (2 * (seeds - 1)))
    return math.sqrt(total), degrees


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
    error, degrees = planned_error(items, seeds, chosen)
    level = alpha / max(1, comparisons)
    return detectable_effect(error, degrees, alpha=level, power=chosen.power)


def items_needed(
    effect: float, variance: float, *, alpha: float = 0.05, power: float = POWER
) -> int:
    """Return the paired items that resolve ``effect`` (Miller 2024, arXiv:2411.00640).

    ``variance`` is that of an item's difference, in the squared units of ``effect``; no seeds.
    """
    z = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    return math.ceil(z * z * variance / effect**2 - 1e-9)


def seeds_needed(
    parts: Components, seeds: int, margin: float, *, alpha: float = 0.05, most: int = 50
) -> int | None:
    """Return the seeds a side at which ``margin`` becomes detectable; None if seeds cannot do it.

    Scales the seed part of the measured components as 1/S and keeps the item part.
    """
    if math.isnan(parts.seed):
        return None
    spread = max(0.0, parts.error**2 - parts.item) * seeds
    floor = max(0.0, parts.error**2 - spread / seeds)
    for count in range(max(2, seeds + 1), most + 1):
        error = math.sqrt(floor + spread / count)
        degrees = 2.0 * (count - 1)
        if detectable_effect(error, degrees, alpha=alpha) <= margin:
            return count
    return None
