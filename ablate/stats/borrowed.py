"""One seed a cell: the spread over seeds is borrowed from cells that have several."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ablate.stats.crossed import Arm, difference_components
from ablate.stats.estimate import ROUNDING, Claim, Estimate, from_error


def pooled_seed_sd(groups: Iterable[Sequence[float]]) -> tuple[float, float]:
    """Return the SD over training seeds and its degrees of freedom; (NaN, 0) where none is known.

    A group holds one cell's scores, one a seed, and counts with its seeds less one degrees. A group
    of equal scores does not count: its seeds share one checkpoint, and a spread of 0 would then
    speak for cells that are trained anew. (Two checkpoints with the same score by chance are lost
    too, which makes the SD a little too large and never too small.) A shared checkpoint whose
    samples are drawn anew by every seed is not recognized: leave such a cell out. Undefined scores
    are left out.
    """
    squares = degrees = 0.0
    for group in groups:
        scores = np.asarray(group, np.float64)
        scores = scores[~np.isnan(scores)]
        if len(scores) < 2 or np.ptp(scores) <= ROUNDING * max(1.0, float(np.abs(scores).max())):
            continue
        squares += float(((scores - scores.mean()) ** 2).sum())
        degrees += len(scores) - 1
    return (math.sqrt(squares / degrees), degrees) if degrees else (math.nan, 0.0)


def borrowed_difference(
    treatment: Arm, control: Arm, *, seed_sd: float, degrees: float, level: float = 0.95
) -> Estimate:
    """Return ``treatment - control`` as a claim about recipes, with a seed SD from elsewhere.

    SE^2 = V_item + seed_sd^2 (1 / S_A + 1 / S_B), degrees by Satterthwaite. ``seed_sd`` is that of
    the weighted score; ``degrees`` those behind it, infinite for an SD that is declared. Supposes
    that the two recipes spread like the cells the SD is from. No interval where it is NaN.
    """
    parts = difference_components(treatment, control)
    seed = seed_sd**2 * (1 / treatment.n_seeds + 1 / control.n_seeds)
    square = parts.item + seed
    error, freedom = math.nan, math.nan
    if square > 0 and degrees > 0:
        spread = parts.item**2 / parts.item_degrees + seed**2 / degrees
        error, freedom = math.sqrt(square), square**2 / spread if spread > 0 else math.inf
    sizes = (treatment.n_items, min(treatment.n_seeds, control.n_seeds))
    value = treatment.score - control.score
    return from_error(value, error, degrees=freedom, sizes=sizes, claim=Claim.RECIPE, level=level)
