"""One seed a cell: the spread over seeds is borrowed from cells that have several."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ablate.stats.crossed import Arm, Components, difference_components
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


def pooled_overlap(arms: Iterable[Arm]) -> float:
    """Return the share of a squared seed SD that is the luck of single items; 0 without any.

    What one checkpoint happens to answer moves its score too, so that the spread over seeds of
    `pooled_seed_sd` holds it, and the spread over items holds it again. Takes the item scores of
    the same cells, weighted alike.
    """
    known = [(arm.n_seeds - 1, arm.overlap * arm.n_seeds) for arm in arms if arm.n_seeds > 1]
    defined = [(degrees, overlap) for degrees, overlap in known if not math.isnan(overlap)]
    total = sum(degrees for degrees, _ in defined)
    return sum(degrees * overlap for degrees, overlap in defined) / total if total else 0.0


def borrowed_difference(
    treatment: Arm,
    control: Arm,
    *,
    seed_sd: float,
    degrees: float,
    overlap: float = 0.0,
    level: float = 0.95,
) -> Estimate:
    """Return ``treatment - control`` as a claim about recipes, with a seed SD from elsewhere.

    The crossed interval with V_seed = seed_sd^2 (1 / S_A + 1 / S_B) and V_both likewise from
    ``overlap``. ``seed_sd`` is that of the weighted score; ``degrees`` those behind it, infinite
    for an SD that is declared. Supposes that the two recipes spread like the cells the SD is from.
    No interval where it is NaN.
    """
    items = difference_components(treatment, control)
    inverse = 1 / treatment.n_seeds + 1 / control.n_seeds
    parts = Components(
        *(items.item, seed_sd**2 * inverse, overlap * inverse),
        *(items.item_degrees, degrees if degrees > 0 else math.nan),
    )
    sizes = (treatment.n_items, min(treatment.n_seeds, control.n_seeds))
    value, error, claim = treatment.score - control.score, parts.error, Claim.RECIPE
    return from_error(value, error, degrees=parts.degrees, sizes=sizes, claim=claim, level=level)
