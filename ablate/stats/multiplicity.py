"""Adjusted p-values of one family: the comparisons that answer one question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from ablate.stats.estimate import FloatArray

Correction = Literal["holm", "bh", "bonferroni", "none"]


def adjust(p_values: Sequence[float], correction: Correction) -> list[float]:
    """Return adjusted p-values in the order given; NaN stays NaN and does not count.

    Raises ValueError for an unknown correction.
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = ~np.isnan(p)
    adjusted = p.copy()
    adjusted[known] = _adjust_known(p[known], correction)
    return [float(value) for value in adjusted]


def _adjust_known(p: FloatArray, correction: Correction) -> FloatArray:
    count = len(p)
    if correction == "none" or count == 0:
        return p
    if correction == "bonferroni":
        return np.minimum(1.0, p * count)
    order = np.argsort(p, kind="stable")
    ranked = p[order]
    if correction == "holm":
        stepped = np.maximum.accumulate(ranked * (count - np.arange(count)))
    elif correction == "bh":
        raised = ranked * count / np.arange(1, count + 1)
        stepped = np.minimum.accumulate(raised[::-1])[::-1]
    else:
        raise ValueError(f"correction {correction!r} is not one of bh, bonferroni, holm, none")
    result = np.empty(count)
    result[order] = np.minimum(1.0, stepped)
    return result
