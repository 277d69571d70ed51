"""Matched seeds, checkpoints, strata inside a task, and equivalence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.weightstats import ttost_paired

from ablate.stats.crossed import (
    POOLED,
    Arm,
    crossed_difference,
    item_difference,
    item_score,
    matched_components,
    matched_difference,
    score_components,
    split_strata,
)
from ablate.stats.estimate import Estimate, FloatArray
from ablate.stats.paired import checkpoint_difference, mcnemar_exact, mean_over_levels
from ablate.stats.verdicts import equivalence_p


def one(rows: FloatArray) -> Arm:
    return Arm({"all": rows}, {"all": 1.0})


def binary(gained: int, lost: int, both: int, neither: int, *, unit: float = 1.0) -> list[Arm]:
    ours = [1.0] * gained + [0.0] * lost + [1.0] * both + [0.0] * neither
    theirs = [0.0] * gained + [1.0] * lost + [1.0] * both + [0.0] * neither
    return [one(unit * np.array([row])) for row in (ours, theirs)]


def test_what_a_seed_does_to_both_sides_leaves_the_matched_interval() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(0, 5, (3, 1))
    arms = [one(common + rng.normal(size=(3, 200))) for _ in range(2)]
    matched, crossed = matched_difference(*arms), crossed_difference(*arms)
    assert matched.value == crossed.value and matched.n_seeds == 3
    assert matched.standard_error < crossed.standard_error / 10


def test_matched_seeds_of_an_average_take_the_spread_of_the_average() -> None:
    """Differences by seed -1 and 1 in one category, 1 and -1 in the other: none in the average."""
    items = np.tile([0.5, -0.5], 10)
    ours = {"a": items + np.array([[-1.0], [1.0]]), "b": items + np.array([[1.0], [-1.0]])}
    theirs = {name: np.zeros((2, 20)) for name in ours}
    weights = {"a": 0.5, "b": 0.5}
    parts = matched_components(Arm(ours, weights), Arm(theirs, weights))
    assert parts.seed == pytest.approx(0.0)
    # Each category: variance of +-1/2 over 20 items, 5/19, over 20; half weights squared, twice.
    assert parts.item == pytest.approx(2 * 0.25 * (5 / 19) / 20)


def test_matched_seeds_need_the_same_seeds_and_more_than_one() -> None:
    two, three = one(np.eye(2, 20)), one(np.eye(3, 20))
    with pytest.raises(ValueError, match="2 and 3 seeds cannot be matched"):
        matched_difference(two, three)
    single = one(np.eye(1, 20))
    assert not matched_difference(single, one(np.zeros((1, 20)))).defined


def test_one_seed_of_right_and_wrong_has_the_interval_of_bonett_and_price() -> None:
    # (40, 20, 160): .12346 [.03011, .21680], drawn to 0 from the plain 20 / 160.
    found = checkpoint_difference(*binary(40, 20, 60, 40))
    assert found.value == 0.125
    assert (found.low, found.high) == pytest.approx((0.03011, 0.21680), abs=6e-6)
    assert found.value + found.shift == pytest.approx(0.12346, abs=6e-6)
    assert found.bounds(0.95) == pytest.approx((found.low, found.high))


def test_points_are_a_hundred_times_the_fractions() -> None:
    found = checkpoint_difference(*binary(40, 20, 60, 40, unit=100.0))
    assert (found.value, found.low) == pytest.approx((12.5, 3.011), abs=6e-4)


def test_checkpoints_that_answer_alike_have_an_interval_over_items_of_some_width() -> None:
    alike = binary(0, 0, 20, 24)
    assert not item_difference(*alike).defined
    found = checkpoint_difference(*alike)
    # Bonett and Price add one item each way: 1.959964 sqrt(2 / 46 / 46).
    assert (found.low, found.high) == pytest.approx((-0.060257, 0.060257), abs=1e-6)
    assert found.p_value == 1.0


def test_the_interval_and_the_exact_test_mostly_agree() -> None:
    pairs = [(b, c) for b in range(0, 40, 3) for c in range(0, 40, 3)]
    agreed = sum(
        (checkpoint_difference(*binary(b, c, 100, 100)).p_value < 0.05)
        == (mcnemar_exact(b, c) < 0.05)
        for b, c in pairs
    )
    assert agreed / len(pairs) > 0.9


@pytest.mark.parametrize(
    "arms",
    [
        [one(np.random.default_rng(k).normal(size=(1, 40))) for k in range(2)],
        [one(np.random.default_rng(k).integers(0, 2, (2, 40)).astype(float)) for k in range(2)],
        [
            Arm({"all": np.eye(1, 40)}, {"all": 1.0}, {"all": [i // 2 for i in range(40)]}),
            Arm({"all": np.eye(1, 40, 5)}, {"all": 1.0}, {"all": [i // 2 for i in range(40)]}),
        ],
        [one(np.eye(1, 14)), one(np.eye(1, 14, 3))],
    ],
    ids=["rewards", "seeds", "clusters", "few"],
)
def test_everything_else_has_the_paired_t_interval(arms: list[Arm]) -> None:
    left, right = checkpoint_difference(*arms), item_difference(*arms)
    assert (left.value, left.degrees, left.defined) == (right.value, right.degrees, right.defined)
    assert left.low == right.low or not left.defined


def test_two_one_sided_tests_of_ten_differences() -> None:
    d = [0.02, -0.01, 0.0, 0.01, -0.02, 0.015, 0.005, -0.005, 0.01, -0.01]
    expected, _, _ = ttost_paired(np.array(d), np.zeros(10), -0.02, 0.02)
    assert equivalence_p(mean_over_levels(d), 0.02) == pytest.approx(expected, rel=1e-9)
    assert expected == pytest.approx(0.000640638, abs=5e-10)


@pytest.mark.parametrize("margin", [0.005, 0.008863, 0.008865, 0.02])
def test_equivalence_is_below_alpha_exactly_where_the_interval_is_inside(margin: float) -> None:
    d = [0.02, -0.01, 0.0, 0.01, -0.02, 0.015, 0.005, -0.005, 0.01, -0.01]
    low, high = mean_over_levels(d).bounds(0.90)
    inside = -margin < low and high < margin
    assert (equivalence_p(mean_over_levels(d), margin) < 0.05) == inside


def test_equivalence_is_undefined_without_interval_or_margin_and_large_outside_the_margin() -> None:
    assert math.isnan(equivalence_p(Estimate(0.0, math.nan, math.nan), 1.0))
    known = Estimate(3.0, 2.0, 4.0, standard_error=0.5, degrees=math.inf)
    assert math.isnan(equivalence_p(known, math.nan)) and math.isnan(equivalence_p(known, 0.0))
    # Two errors of 1/2 above 2: Phi(2).
    assert equivalence_p(known, 2.0) == pytest.approx(0.97725, abs=1e-5)


def test_fixed_subsets_keep_the_mean_and_lose_the_spread_between_them() -> None:
    """Subjects at 0 and 1 in the mean: between them nothing is random."""
    scores = np.array([[0.1, -0.1] * 10 + [1.1, 0.9] * 20])
    keys = ["easy"] * 20 + ["hard"] * 40
    strata, weights = split_strata(scores, keys)
    assert weights == {"easy": pytest.approx(1 / 3), "hard": pytest.approx(2 / 3)}
    arm = Arm(strata, weights)
    assert arm.score == pytest.approx(scores.mean())
    # Squared weights times variance over n: 1/9 (.01 20/19) / 20 + 4/9 (.01 40/39) / 40.
    expected = (0.01 / 19) / 9 + (0.01 / 39) * 4 / 9
    assert score_components(arm).item == pytest.approx(expected)
    assert score_components(one(scores)).item > 10 * expected


def test_subsets_of_one_item_are_pooled() -> None:
    scores = np.arange(8.0)[None, :]
    strata, weights = split_strata(scores, ["a", "b", "c", "c", "d", "d", "d", "d"])
    assert list(strata) == ["c", "d", POOLED]
    assert strata[POOLED].tolist() == [[0.0, 1.0]] and weights[POOLED] == 0.25
    alone, _ = split_strata(scores, ["a", "c", "c", "d", "d", "d", "d", "d"])
    assert alone[POOLED].tolist() == [[0.0, 1.0, 2.0]]
    whole, weight = split_strata(scores[:, :1], ["a"])
    assert list(whole) == [POOLED] and weight == {POOLED: 1.0}


def test_small_subsets_of_many_items_have_an_interval_and_few_items_none() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(1, 60))
    assert item_score(Arm(*split_strata(scores, [f"s{i // 4}" for i in range(60)]))).defined
    few = scores[:, :12]
    assert not item_score(Arm(*split_strata(few, [f"s{i // 4}" for i in range(12)]))).defined
    lopsided = Arm({"a": scores[:, :3], "b": scores[:, 3:]}, {"a": 0.5, "b": 0.5})
    assert not item_score(lopsided).defined
