from __future__ import annotations

import math

import numpy as np
import pytest

from ablate.stats.crossed import Arm, crossed_difference, item_difference
from ablate.stats.estimate import FloatArray
from ablate.stats.multiplicity import adjust
from ablate.stats.ranks import rank_band, rank_distribution
from ablate.stats.simultaneous import max_t, max_t_of

Generator = np.random.Generator


def one(rows: FloatArray, clusters: list[str] | None = None) -> Arm:
    return Arm({"all": rows}, {"all": 1.0}, {"all": clusters} if clusters else {})


def null_family(rng: Generator, *, arms: int, seeds: int, items: int, alike: float) -> list[Arm]:
    """Arms without true differences; ``alike`` is the SD of what the treatments have in common."""
    difficulty, common = rng.normal(0, 1, items), rng.normal(0, alike, items)
    control = one(difficulty + rng.normal(0, 0.3, (seeds, items)))
    return [
        control,
        *(one(difficulty + common + rng.normal(0, 0.3, (seeds, items))) for _ in range(arms)),
    ]


def test_one_comparison_keeps_about_its_own_p() -> None:
    control, arm = null_family(np.random.default_rng(1), arms=1, seeds=3, items=200, alike=0.5)
    own = crossed_difference(arm, control).p_value
    assert max_t([arm], control, draws=20_000, seed=0)[0] == pytest.approx(own, abs=0.02)


def test_correlated_arms_cost_less_than_under_holm_and_unrelated_ones_no_more() -> None:
    control, *arms = null_family(np.random.default_rng(2), arms=8, seeds=3, items=300, alike=2.0)
    own = [crossed_difference(arm, control).p_value for arm in arms]
    found, holm = max_t(arms, control, draws=5000, seed=0), adjust(own, "holm")
    # All arms differ from the control by the same draw of items: nearly one question and not eight.
    assert min(found) < 0.4 and min(holm) == 1.0
    assert all(q >= p for p, q in zip(own, found, strict=True))


def test_a_true_family_null_is_rejected_about_as_often_as_stated() -> None:
    rng = np.random.default_rng(3)
    rejected = holm = 0
    for study in range(600):
        control, *arms = null_family(rng, arms=6, seeds=1, items=120, alike=0.7)
        own = max_t(arms, control, draws=500, seed=study)
        rejected += min(own) < 0.05
        holm += min(adjust([_p(arm, control) for arm in arms], "holm")) < 0.05
    assert 0.03 <= rejected / 600 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)
    assert rejected > holm


def _p(arm: Arm, control: Arm) -> float:
    return item_difference(arm, control).p_value


def test_an_undefined_p_stays_undefined_and_costs_nothing() -> None:
    control, *arms = null_family(np.random.default_rng(4), arms=2, seeds=3, items=100, alike=0.0)
    alone = max_t([arms[0]], control, p_values=[0.03], seed=0)
    found = max_t(arms, control, p_values=[0.03, math.nan], seed=0)
    assert math.isnan(found[1]) and found[0] == alone[0]


def test_a_family_of_steps_has_a_control_of_its_own_each() -> None:
    names = ["sft", "dpo", "ppo"]
    rows = null_family(np.random.default_rng(5), arms=2, seeds=3, items=100, alike=0.0)
    steps = [("dpo", "sft"), ("ppo", "dpo")]
    found = max_t_of(dict(zip(names, rows, strict=True)), steps, p_values=[0.01, 0.5], seed=0)
    # Two unrelated questions: 1 - (1 - .01)^2 = .0199; the step down leaves the second alone.
    assert found[0] == pytest.approx(0.0199, abs=0.008)
    assert found[1] == pytest.approx(0.5, abs=0.04)


def test_whole_clusters_are_drawn() -> None:
    """Four copies of an item are one item: the same answer as without the copies."""
    rng = np.random.default_rng(6)
    control, *arms = [rng.normal(size=(2, 60)) for _ in range(4)]
    p_values = [0.01, 0.02, 0.4]
    alone = max_t([one(arm) for arm in arms], one(control), p_values=p_values, seed=1)
    keys = [f"{index // 4:02}" for index in range(240)]
    four = [one(np.repeat(rows, 4, axis=1), keys) for rows in (control, *arms)]
    assert max_t(four[1:], four[0], p_values=p_values, seed=1) == pytest.approx(alone)


def test_ranks_of_equal_cells_are_open_and_of_distant_ones_settled() -> None:
    rng = np.random.default_rng(7)
    difficulty = rng.normal(size=150)
    levels = (0.0, 0.0, 2.0)
    arms = [one(level + difficulty + rng.normal(0, 1, (3, 150))) for level in levels]
    found = rank_distribution(arms, draws=4000, seed=0)
    assert found.sum(axis=0) == pytest.approx(1) and found.sum(axis=1) == pytest.approx(1)
    assert found[2, 0] == pytest.approx(1.0)
    assert rank_band(arms, seed=0) == (False, False, True)
    assert rank_distribution(arms, seed=0, lower_is_better=True)[2, 2] == pytest.approx(1.0)


def test_the_probability_of_the_first_rank_follows_the_error() -> None:
    """Two cells one error apart: the better one stays ahead with probability Phi(1) = .841."""
    rng = np.random.default_rng(8)
    noise = rng.normal(size=(1, 400))
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    better, worse = one(noise + 1 / math.sqrt(400)), one(np.zeros((1, 400)))
    assert rank_distribution([better, worse], draws=20_000, seed=0)[0, 0] == pytest.approx(
        0.841, abs=0.012
    )


def test_the_true_best_cell_is_in_the_band_as_often_as_stated() -> None:
    rng = np.random.default_rng(9)
    missed = 0
    for study in range(400):
        arms = null_family(rng, arms=3, seeds=1, items=100, alike=0.0)
        missed += not all(rank_band(arms, draws=400, seed=study))
    assert missed / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_cells_on_other_items_are_drawn_apart() -> None:
    """Two pairs on suites of their own are two unrelated questions: 1 - (1 - .02)^2 = .0396."""
    rng = np.random.default_rng(10)
    sizes = {"a": 100, "b": 100, "c": 80, "d": 80}
    arms = {name: one(rng.normal(size=(3, size))) for name, size in sizes.items()}
    found = max_t_of(arms, [("a", "b"), ("c", "d")], p_values=[0.02, 0.6], draws=8000, seed=0)
    assert found[0] == pytest.approx(0.0396, abs=0.007)
