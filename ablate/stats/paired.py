"""Two checkpoints on the same items: claims about these checkpoints only."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ablate.stats.crossed import Arm, check_same_items, item_difference
from ablate.stats.estimate import FEWEST_ITEMS, Claim, Estimate, from_error
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


def checkpoint_difference(treatment: Arm, control: Arm, *, level: float = 0.95) -> Estimate:
    """Return ``treatment - control`` as a claim about these checkpoints: items only.

    Bonett and Price's interval for right-or-wrong items (0 and 1, or 0 and 100) of one stratum
    without clusters and one seed a side: the t interval is undefined where two checkpoints answer
    all alike and too narrow where they nearly do. The value stays the plain difference, which the
    table can be checked by; only the interval is drawn towards 0. `p_value` is the interval's own,
    so that page and verdict agree; `mcnemar_exact` belongs beside the counts of who was right.
    Everything else (averages, rewards, clusters, several seeds) has the paired t interval.
    """
    unit = _unit(treatment, control)
    if not unit:
        return item_difference(treatment, control, level=level)
    check_same_items(treatment, control)
    ((name, ours),) = treatment.strata.items()
    theirs, weight = control.strata[name], treatment.weights[name] * unit
    found = bonett_price(
        int((ours > theirs).sum()), int((ours < theirs).sum()), ours.size, level=level
    )
    value = treatment.score - control.score
    low, high, error = weight * found.low, weight * found.high, weight * found.standard_error
    shift = weight * found.value - value
    return replace(found, value=value, low=low, high=high, standard_error=error, shift=shift)


def _unit(treatment: Arm, control: Arm) -> float:
    """Return what a right answer counts, or 0 where Bonett and Price do not apply."""
    alone = treatment.n_seeds == control.n_seeds == 1 and len(treatment.strata) == 1
    if not alone or treatment.clusters or control.clusters or treatment.n_items < FEWEST_ITEMS:
        return 0.0
    scores = np.concatenate(
        [rows.ravel() for arm in (treatment, control) for rows in arm.strata.values()]
    )
    unit = float(scores.max())
    return unit if unit in (1.0, 100.0) and bool(np.isin(scores, (0.0, unit)).all()) else 0.0


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
    ways, total = 1, 1
    for k in range(successes):  # Each number of ways from the one before: far fewer long products.
        ways = ways * (trials - k) // (k + 1)
        total += ways
    return total / int(2**trials)


def tipping_seed_sd(difference: Estimate, *, alpha: float = 0.05) -> float:
    """Return the seed-to-seed SD above which a one-seed difference is no longer significant.

    From difference = z * sqrt(item error^2 + 2 sd^2), with z at ``alpha`` and not corrected for
    other comparisons; 0 where it is not significant as it stands, NaN without an interval over
    items.
    """
    if not difference.defined:
        return math.nan
    z = normal_quantile(1 - alpha / 2)
    spare = ((difference.value + difference.shift) / z) ** 2 - difference.standard_error**2
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
