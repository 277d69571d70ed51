"""Two checkpoints on the same items: claims about these checkpoints only."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ablate.stats.estimate import Claim, Estimate, from_error, mean_estimate
from ablate.stats.quantiles import normal_quantile


def bonett_price(gained: int, lost: int, items: int, *, level: float = 0.95) -> Estimate:
    """Return the difference of two paired proportions (Bonett and Price 2012), as fractions.

    ``gained`` counts items that only the treatment has right, ``lost`` those that only the
    control has right. Adds 1 to both and 2 to ``items``, so it stays defined without discordance.
    """
    up, down, total = (gained + 1) / (items + 2), (lost + 1) / (items + 2), items + 2
    value = up - down
    error = math.sqrt((up + down - value * value) / total)
    half = normal_quantile((1 + level) / 2) * error
    return Estimate(
        value, value - half, value + half, error, math.inf, items, 1, Claim.CHECKPOINT, level
    )


def paired_items(
    treatment: ArrayLike,
    control: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
) -> Estimate:
    """Return the mean of ``treatment - control`` over items with its t interval.

    Raises ValueError where the two sides do not hold the same number of items.
    """
    left, right = np.asarray(treatment, np.float64), np.asarray(control, np.float64)
    if left.shape != right.shape:
        raise ValueError(f"{left.shape} and {right.shape} scores cannot be paired; join the items")
    return mean_estimate(left - right, clusters, level=level)


def mcnemar_exact(gained: int, lost: int) -> float:
    """Return the two-sided exact p that discordant items fall either way alike; 1 without any."""
    return min(1.0, 2 * _binomial_tail(min(gained, lost), gained + lost))


def mcnemar_mid(gained: int, lost: int) -> float:
    """Return the mid-p form: less conservative, half the weight on the observed table."""
    if gained + lost == 0:
        return 1.0
    smaller, total = min(gained, lost), gained + lost
    mid = 2 * _binomial_tail(smaller, total) - math.comb(total, smaller) / float(2**total)
    return min(1.0, mid)


def _binomial_tail(successes: int, trials: int) -> float:
    """Return P(X <= successes) for a fair coin, in exact integers."""
    return sum(math.comb(trials, k) for k in range(successes + 1)) / int(2**trials)


def tipping_seed_sd(difference: Estimate) -> float:
    """Return the seed-to-seed SD above which a one-seed difference is no longer significant.

    From difference = z * sqrt(item error^2 + 2 sd^2); 0 where it is not significant as it stands,
    NaN without an interval over items.
    """
    if not difference.defined:
        return math.nan
    z = normal_quantile((1 + difference.level) / 2)
    spare = (difference.value / z) ** 2 - difference.standard_error**2
    return math.sqrt(max(0.0, spare) / 2)


def exact_sign_test(wins: int, losses: int) -> float:
    """Return the two-sided exact p of a win count; ties are left out before this."""
    return mcnemar_exact(wins, losses)


def mean_over_levels(differences: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Return the mean of one difference per level of a factor, with the t interval over levels.

    The claim is about other levels (data sets) like these; fewer than two give no interval.
    """
    values = np.asarray(differences, np.float64)
    count = len(values)
    if count == 0:
        return Estimate(math.nan, math.nan, math.nan, claim=Claim.DATASETS)
    error = float(values.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    mean = float(values.mean())
    sizes, claim = (count, 0), Claim.DATASETS
    return from_error(mean, error, degrees=count - 1, sizes=sizes, claim=claim, level=level)
