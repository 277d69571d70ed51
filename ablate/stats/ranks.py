"""How far a ranking of cells can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

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
    rng = np.random.default_rng(seed)
    scores = score_draws(arms, draws=draws, rng=rng)
    left, right = np.triu_indices(len(arms), 1)
    if not len(left):
        return (True,) * len(arms)
    smallest = two_sided(scores[:, left] - scores[:, right]).min(axis=1)
    band = []
    for index, arm in enumerate(arms):
        p_value = own_p(arm, arms[best]) if index != best else 1.0
        adjusted = ((smallest <= p_value).sum() + 1) / (draws + 1)
        band.append(not max(p_value, adjusted) < alpha)
    return tuple(band)
