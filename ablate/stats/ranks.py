"""How far a ranking of cells can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ablate.stats.crossed import Arm
from ablate.stats.estimate import FloatArray
from ablate.stats.resampling import score_draws
from ablate.stats.simultaneous import DRAWS, own_p, two_sided


def rank_distribution(
    arms: Sequence[Arm], *, draws: int = DRAWS, seed: int, lower_is_better: bool = False
) -> FloatArray:
    """Return the probability of each rank, shape (cells, ranks), rank 0 the best.

    How the ranking would turn out with other items and other seeds, drawn by `score_draws` around
    the scores observed; ties fall either way. Rows and columns sum to 1.
    """
    rng = np.random.default_rng(seed)
    scores = score_draws(arms, draws=draws, rng=rng) + np.array([arm.score for arm in arms])
    if not lower_is_better:
        scores = -scores
    order = np.lexsort((rng.random(scores.shape), scores), axis=1)
    counts = np.zeros((len(arms), len(arms)))
    for rank in range(len(arms)):
        counts[:, rank] = np.bincount(order[:, rank], minlength=len(arms))
    return counts / draws


def rank_band(
    arms: Sequence[Arm],
    *,
    alpha: float = 0.05,
    draws: int = DRAWS,
    seed: int,
    lower_is_better: bool = False,
) -> tuple[bool, ...]:
    """Return which cells cannot be told from the one with the best score, itself included.

    Its differences to the others are adjusted over all pairs of cells, by the smallest p of a draw
    (`simultaneous.max_t_of` without the steps): which cell is the best was read from the same
    scores. A difference without interval tells nothing apart.
    """
    sign = -1.0 if lower_is_better else 1.0
    best = int(np.argmax([sign * arm.score for arm in arms]))
    smallest = _smallest_p(arms, draws=draws, seed=seed)
    band = []
    for index, arm in enumerate(arms):
        p_value = own_p(arm, arms[best]) if index != best else 1.0
        band.append(not _adjusted(p_value, smallest) < alpha)
    return tuple(band)


def pairwise_p(
    arms: Sequence[Arm], shown: Sequence[int], *, draws: int = DRAWS, seed: int
) -> dict[tuple[int, int], float]:
    """Return the adjusted p of the difference of every two of the arms ``shown``, by their places.

    Adjusted over all pairs of all arms, as `rank_band` does with the same draws and seed: the two
    never say different things of one pair. NaN without an interval.
    """
    smallest = _smallest_p(arms, draws=draws, seed=seed)
    found = {}
    for one, other in combinations(shown, 2):
        p_value = _adjusted(own_p(arms[one], arms[other]), smallest)
        found[one, other] = found[other, one] = p_value
    return found


def _adjusted(p_value: float, smallest: FloatArray) -> float:
    """Return a p that counts the choice of its pair among all; NaN stays NaN."""
    if np.isnan(p_value):
        return float("nan")
    return float(max(p_value, ((smallest <= p_value).sum() + 1) / (len(smallest) + 1)))


def _smallest_p(arms: Sequence[Arm], *, draws: int, seed: int) -> FloatArray:
    """Return the smallest p over all pairs of arms, were they all equal, in every draw."""
    scores = score_draws(arms, draws=draws, rng=np.random.default_rng(seed))
    left, right = np.triu_indices(len(arms), 1)
    if not len(left):
        return np.ones(draws)
    found: FloatArray = two_sided(scores[:, left] - scores[:, right]).min(axis=1)
    return found
