"""How often a random order agrees as well as one that was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations

import numpy as np
from scipy.stats import rankdata, spearmanr

MOST_EXACT = 8
"""Pairs up to which every order is counted: 8! is 40,320."""


def spearman_p(left: Sequence[float], right: Sequence[float]) -> float:
    """Return the two-sided p of Spearman's coefficient; NaN below 3 pairs or without spread.

    Up to 8 pairs the share of all orders of one side whose coefficient is at least as far from 0,
    ties of values included; beyond that scipy's t approximation. Pairs with NaN are left out.
    """
    pairs = [pair for pair in zip(left, right, strict=True) if not any(map(math.isnan, pair))]
    if len(pairs) < 3:
        return math.nan
    sides = [rankdata(side) for side in zip(*pairs, strict=True)]
    centred = [side - side.mean() for side in sides]
    if any(not side.any() for side in centred):
        return math.nan
    if len(pairs) > MOST_EXACT:
        return float(spearmanr(sides[0], sides[1]).pvalue)
    orders = np.array(list(permutations(range(len(pairs)))))
    # The coefficient is proportional to the products' sum, whatever the order.
    products = centred[0][orders] @ centred[1]
    seen = abs(float(centred[0] @ centred[1]))
    return float(np.mean(np.abs(products) >= seen - 1e-9))
