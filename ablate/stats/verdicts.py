"""Exactly one verdict per contrast and metric."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Literal

from ablate.stats.estimate import Estimate
from ablate.stats.quantiles import t_two_sided

Direction = Literal["higher", "lower", "none"]


class Verdict(StrEnum):
    """What may be said about a difference."""

    BETTER = "better"
    """The adjusted p is below alpha, in the good direction."""
    WORSE = "worse"
    """The adjusted p is below alpha, in the bad direction."""
    TRIVIAL = "trivial"
    """Not zero, but inside the margin: the (1 - 2 alpha) interval lies within it."""
    EQUIVALENT = "equivalent"
    """The (1 - 2 alpha) interval lies inside the margin (two one-sided tests)."""
    INCONCLUSIVE = "inconclusive"
    """Neither: absence of evidence, to be read beside the detectable effect."""
    INVALID = "invalid"
    """A tripwire fired; the number must not be read as an effect."""

    @property
    def symbol(self) -> str:
        """A mark that needs no colour."""
        return _SYMBOLS[self]


_SYMBOLS = {
    Verdict.BETTER: "▲",
    Verdict.WORSE: "▼",
    Verdict.TRIVIAL: "△",
    Verdict.EQUIVALENT: "≈",
    Verdict.INCONCLUSIVE: "?",
    Verdict.INVALID: "✕",
}


def decide(
    effect: Estimate,
    p_adjusted: float,
    *,
    margin: float,
    alpha: float = 0.05,
    direction: Direction = "higher",
    invalid: bool = False,
) -> Verdict:
    """Return the verdict on a difference.

    ``margin`` is the smallest effect of interest; NaN or 0 leaves out trivial and equivalent. An
    effect without interval (one seed) is inconclusive whatever its size.
    """
    if invalid or math.isnan(effect.value):
        return Verdict.INVALID
    if not effect.defined:
        return Verdict.INCONCLUSIVE
    low, high = effect.bounds(1 - 2 * alpha)
    within = margin > 0 and -margin < low and high < margin
    significant = p_adjusted < alpha
    if not significant:
        return Verdict.EQUIVALENT if within else Verdict.INCONCLUSIVE
    if within:
        return Verdict.TRIVIAL
    good = (effect.value > 0) != (direction == "lower")
    return Verdict.BETTER if good else Verdict.WORSE


def equivalence_p(estimate: Estimate, margin: float) -> float:
    """Return the larger p of two one-sided t tests that the effect lies inside ± ``margin``.

    Below alpha exactly where the (1 - 2 alpha) interval lies inside the margin. NaN without an
    interval or with a margin that is NaN or not positive.
    """
    if not (estimate.defined and margin > 0):
        return math.nan
    room = margin - abs(estimate.value + estimate.shift)
    both = estimate.overall(t_two_sided(room / estimate.standard_error, estimate.degrees))
    return both / 2 if room > 0 else 1 - both / 2
