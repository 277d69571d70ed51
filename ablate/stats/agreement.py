"""How far several ratings of the same units agree beyond chance: Krippendorff's alpha."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from ablate.stats.estimate import FloatArray

Scale = Literal["nominal", "ordinal", "interval"]
"""What a distance between two ratings means: equal or not, ranks apart, or units apart."""


def krippendorff_alpha(units: Iterable[Sequence[float]], scale: Scale = "nominal") -> float:
    """Return alpha over units, each with the ratings it was given; 1 is perfect, 0 is chance.

    NaN stands for a missing rating; a unit with fewer than two ratings says nothing and is left
    out. NaN without any pair of ratings, and where all ratings are equal: chance then agrees too.
    Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", by coincidences of values.
    Raises ValueError for an unknown scale.
    """
    rated = [known for unit in units if len(known := [v for v in unit if not math.isnan(v)]) > 1]
    values = sorted({value for unit in rated for value in unit})
    if len(values) < 2:
        return math.nan
    place = {value: i for i, value in enumerate(values)}
    seen = np.zeros((len(values), len(values)))
    for unit in rated:
        counts = np.bincount([place[value] for value in unit], minlength=len(values))
        seen += (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    totals = seen.sum(axis=1)
    distance = _distances(np.array(values), totals, scale)
    by_chance = np.outer(totals, totals) - np.diag(totals)
    expected = float((by_chance * distance).sum()) / (float(totals.sum()) - 1)
    return 1 - float((seen * distance).sum()) / expected


def _distances(values: FloatArray, totals: FloatArray, scale: Scale) -> FloatArray:
    """Return squared distances between all pairs of values."""
    if scale == "nominal":
        return 1.0 - np.eye(len(values))
    if scale == "interval":
        return np.asarray((values[:, None] - values) ** 2, np.float64)
    if scale == "ordinal":
        # Ratings between two values, either end counted half.
        middle = np.cumsum(totals) - totals / 2
        return np.asarray((middle[:, None] - middle) ** 2, np.float64)
    raise ValueError(f"scale {scale!r} is not one of interval, nominal, ordinal")
