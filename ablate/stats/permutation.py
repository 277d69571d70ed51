"""Paired permutation: a p-value that supposes nothing but that either sign was as likely."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ablate.stats.estimate import ROUNDING, FloatArray, cluster_index

BLOCK = 2_000_000
"""Signs that are held at a time."""


def sign_flip(
    differences: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    draws: int = 10_000,
    seed: int,
) -> float:
    """Return the two-sided p of the mean of paired differences by flipping their signs.

    With ``clusters`` a whole cluster is flipped. Exact over all sign patterns where there are no
    more of them than ``draws``; otherwise (b + 1) / (draws + 1) for b random patterns at least as
    extreme as what was observed. 1 where all differences are 0, NaN without any.
    """
    values: FloatArray = np.asarray(differences, np.float64)
    if len(values) == 0 or np.isnan(values).any():
        return math.nan
    if clusters is not None:
        sums = np.bincount(cluster_index(clusters, len(values)), weights=values)
        values = sums.astype(np.float64)
    values = values[values != 0]
    if len(values) == 0:
        return 1.0
    # Rounding must not make a pattern as extreme as the observed one look less so.
    bound = abs(float(values.sum())) - ROUNDING * float(np.abs(values).sum())
    if len(values) < math.log2(draws) + 1:
        return _exact(values, bound)
    rng = np.random.default_rng(seed)
    extreme, size = 0, max(1, BLOCK // len(values))
    for start in range(0, draws, size):
        signs = rng.integers(0, 2, (min(size, draws - start), len(values)), dtype=np.int8)
        # sum of s_i v_i with s = 2 b - 1
        flipped = 2 * (signs @ values) - values.sum()
        extreme += int((np.abs(flipped) >= bound).sum())
    return (extreme + 1) / (draws + 1)


def _exact(values: FloatArray, bound: float) -> float:
    """Return the share of all sign patterns at least as extreme; one sign is fixed by symmetry."""
    sums = np.array([values[0]])
    for value in values[1:]:
        sums = np.concatenate([sums + value, sums - value])
    return float((np.abs(sums) >= bound).mean())
