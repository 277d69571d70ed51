from __future__ import annotations

import math

import numpy as np
import pytest

from ablate.stats.crossed import Arm
from ablate.stats.ranks import pairwise_p, rank_band
from ablate.stats.simultaneous import own_p


def arms_around(scores: list[float], *, seeds: int = 3, rng_seed: int = 0) -> list[Arm]:
    rng = np.random.default_rng(rng_seed)
    items = rng.normal(0, 1, 80)
    return [
        Arm({"all": score + items + rng.normal(0, 0.5, (seeds, 80))}, {"all": 1.0})
        for score in scores
    ]


@pytest.mark.parametrize("study", range(6))
def test_the_band_of_the_best_and_the_pairs_never_disagree(study: int) -> None:
    arms = arms_around([0.0, 0.1, 0.2, 0.25], rng_seed=study)
    best = int(np.argmax([arm.score for arm in arms]))
    pairs = pairwise_p(arms, range(4), draws=500, seed=7)
    band = rank_band(arms, draws=500, seed=7)
    assert band == tuple(i == best or not pairs[i, best] < 0.05 for i in range(4))


def test_a_pair_pays_for_all_pairs_that_it_is_one_of() -> None:
    arms = arms_around([0.0, 0.1, 0.2, 0.3])
    pairs = pairwise_p(arms, (0, 2), draws=500, seed=0)
    assert set(pairs) == {(0, 2), (2, 0)}
    assert pairs[0, 2] == pairs[2, 0] > own_p(arms[0], arms[2])
    # Among two there is one pair, and nothing to pay for but the draws' own coarseness.
    alone = pairwise_p([arms[0], arms[2]], (0, 1), draws=500, seed=0)[0, 1]
    assert alone == pytest.approx(max(own_p(arms[0], arms[2]), 1 / 501), abs=0.02)


def test_equal_cells_are_told_apart_in_at_most_as_many_studies_as_stated() -> None:
    studies = 250
    called = 0
    for study in range(studies):
        pairs = pairwise_p(arms_around([0.0] * 4, rng_seed=study), range(4), draws=200, seed=study)
        called += min(pairs.values()) < 0.05
    assert called / studies <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)
