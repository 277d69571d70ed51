"""One number a cell from who beat whom: Bradley-Terry strengths, and Elo for comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.csgraph import connected_components

from ablate.stats.estimate import FloatArray

_STEPS = 10_000
_PRECISION = 1e-12


def bradley_terry(wins: ArrayLike) -> FloatArray:
    """Return each player's strength in logits, shape (k,), the last one's set to 0.

    ``wins[i, j]`` counts wins of i over j; a tie is half a win for either. Of two players apart by
    d the stronger wins with probability 1 / (1 + exp(-d)). Maximum likelihood by the iteration of
    Hunter (2004). All NaN where the likelihood has no maximum: where some players have never won
    against the others. Raises ValueError unless the table is square and without negative counts.
    """
    table = np.asarray(wins, np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not (table >= 0).all():
        raise ValueError(f"wins of shape {table.shape}; a square table of counts is allowed")
    count = len(table)
    table = table - np.diag(np.diag(table))
    if connected_components(table > 0, directed=True, connection="strong")[0] > 1:
        return np.full(count, np.nan)
    games = table + table.T
    strength = np.ones(count)
    for _ in range(_STEPS):
        shares = (games / (strength[:, None] + strength)).sum(axis=1)
        updated = table.sum(axis=1) / shares if count > 1 else strength
        updated /= np.exp(np.log(updated).mean())
        moved = float(np.abs(np.log(updated / strength)).max())
        strength = updated
        if moved < _PRECISION:
            break
    logits: FloatArray = np.log(strength / strength[-1])
    return logits


def elo(
    games: Iterable[tuple[str, str, float]],
    *,
    initial: float = 1000.0,
    step: float = 30.0,
    scale: float = 400.0,
) -> dict[str, float]:
    """Return Elo ratings after games ``(one, other, score of one)`` with a score of 1, 1/2 or 0.

    They depend on the order of the games and never settle, so the report uses `bradley_terry`;
    this is for comparison with boards that publish Elo. Expected score: base 10 over ``scale``.
    """
    ratings: dict[str, float] = {}
    for one, other, score in games:
        left, right = ratings.setdefault(one, initial), ratings.setdefault(other, initial)
        moved = step * (score - 1 / (1 + math.pow(10, (right - left) / scale)))
        ratings[one], ratings[other] = left + moved, right - moved
    return ratings
