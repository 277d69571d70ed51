"""Scores without item records: only the spread over seeds is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ablate.stats.estimate import Claim, Estimate, from_error


def seed_score(values: Sequence[float], *, n_items: int = 0) -> Estimate:
    """Return the mean over seeds with its t interval; none with one seed."""
    return _welch([np.asarray(values, np.float64)], [1.0], n_items)


def seed_difference(
    treatment: Sequence[float], control: Sequence[float], *, n_items: int = 0
) -> Estimate:
    """Return ``treatment - control`` of seed means with Welch's t interval; none with one seed.

    Too narrow where items are few, because items are a sample too: prefer the crossed interval.
    """
    sides = [np.asarray(treatment, np.float64), np.asarray(control, np.float64)]
    return _welch(sides, [1.0, -1.0], n_items)


def _welch(sides: Sequence[np.ndarray], signs: Sequence[float], n_items: int) -> Estimate:
    counts = [len(side) for side in sides]
    if min(counts) == 0:
        return Estimate(math.nan, math.nan, math.nan, claim=Claim.RECIPE)
    value = sum(sign * float(side.mean()) for sign, side in zip(signs, sides, strict=True))
    sizes = (n_items, min(counts))
    if min(counts) < 2:
        return from_error(value, math.nan, degrees=math.nan, sizes=sizes, claim=Claim.RECIPE)
    parts = [float(side.var(ddof=1)) / len(side) for side in sides]
    total = sum(parts)
    spread = sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    degrees = total**2 / spread if spread > 0 else math.nan
    error = math.sqrt(total)
    return from_error(value, error, degrees=degrees, sizes=sizes, claim=Claim.RECIPE)
