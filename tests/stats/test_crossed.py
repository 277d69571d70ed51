from __future__ import annotations

import math

import numpy as np
import pytest

from ablate.stats.crossed import (
    Arm,
    crossed_difference,
    crossed_score,
    difference_components,
    item_difference,
    item_score,
    matched_difference,
    residual_mean_square,
    score_components,
)
from ablate.stats.estimate import Claim, FloatArray
from ablate.stats.power import detectable_effect, seeds_needed

Generator = np.random.Generator


def one(rows: FloatArray) -> Arm:
    return Arm({"all": rows}, {"all": 1.0})


def answers(
    rng: Generator, difficulty: FloatArray, *, seeds: int, seed_sd: float, shared: bool = False
) -> FloatArray:
    """Binary answers of one arm; ``shared`` is one checkpoint evaluated ``seeds`` times."""
    arm = difficulty + rng.normal(0, 0.6, len(difficulty))
    effect = 0.0 if shared else rng.normal(0, seed_sd, (seeds, 1))
    probability = 1 / (1 + np.exp(-(arm + effect)))
    return (rng.random((seeds, len(difficulty))) < probability).astype(float)


def rejection_rate(*, seeds: int, seed_sd: float, shared: bool, studies: int = 1500) -> float:
    rng = np.random.default_rng(20)
    rejected = 0
    for _ in range(studies):
        difficulty = rng.normal(0, 2, 300)
        treatment = one(answers(rng, difficulty, seeds=seeds, seed_sd=seed_sd))
        control = one(answers(rng, difficulty, seeds=seeds, seed_sd=seed_sd, shared=shared))
        effect = crossed_difference(treatment, control)
        rejected += not effect.low <= 0 <= effect.high
    return rejected / studies


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("seed_sd", [0.0, 0.06, 0.15])
def test_the_crossed_interval_rejects_a_true_null_at_most_as_often_as_stated(
    seeds: int, seed_sd: float
) -> None:
    rate = rejection_rate(seeds=seeds, seed_sd=seed_sd, shared=False)
    assert rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)


@pytest.mark.parametrize("seed_sd", [0.06, 0.15, 0.5])
def test_a_baseline_shared_by_all_seeds_does_not_make_the_interval_too_narrow(
    seed_sd: float,
) -> None:
    rate = rejection_rate(seeds=3, seed_sd=seed_sd, shared=True)
    assert rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)


def test_the_item_only_interval_is_too_narrow_once_seeds_differ() -> None:
    """The reason for the crossed interval: about one false finding in five instead of in twenty."""
    rng = np.random.default_rng(3)
    rejected = 0
    for _ in range(600):
        difficulty = rng.normal(0, 2, 500)
        arms = [one(answers(rng, difficulty, seeds=3, seed_sd=0.15)) for _ in range(2)]
        effect = item_difference(*arms)
        rejected += not effect.low <= 0 <= effect.high
    assert rejected / 600 > 0.12


def test_the_interval_of_an_average_covers_a_seed_effect_that_moves_all_categories() -> None:
    rng = np.random.default_rng(4)
    weights = {f"c{i}": 1 / 6 for i in range(6)}
    covered = 0
    for _ in range(1000):
        difficulty = {name: rng.normal(0, 2, 64) for name in weights}
        arms = []
        for _ in range(2):
            shift = rng.normal(0, 0.15, 3)  # One shift a seed, the same in every category.
            strata = {}
            for name, base in difficulty.items():
                logits = base + rng.normal(0, 0.6, 64) + shift[:, None]
                strata[name] = (rng.random((3, 64)) < 1 / (1 + np.exp(-logits))).astype(float)
            arms.append(Arm(strata, weights))
        effect = crossed_difference(arms[0], arms[1])
        covered += effect.low <= 0 <= effect.high
    assert covered / 1000 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 1000)


@pytest.mark.parametrize(("seed_sd", "covered_at_least"), [(0.1, 0.95), (0.3, 0.92), (1.0, 0.93)])
def test_the_interval_of_one_score_covers_the_recipe(
    seed_sd: float, covered_at_least: float
) -> None:
    """Two degrees of freedom behind the seed part: a little below 95 %, as documented."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(1500):
        noise = rng.normal(0, 1, (3, 200)) + rng.normal(0, 1, 200)
        score = crossed_score(one(noise + rng.normal(0, seed_sd, (3, 1))))
        covered += score.low <= 0 <= score.high
    assert covered / 1500 >= covered_at_least - 3 * math.sqrt(0.05 * 0.95 / 1500)


def test_an_average_of_strata_adds_squared_weighted_item_errors() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.random((1, 40)), rng.random((1, 30))
    arm = Arm({"a": left, "b": right}, {"a": 0.5, "b": 0.5})
    expected = 0.25 * (left.var(ddof=1) / 40 + right.var(ddof=1) / 30)
    assert score_components(arm).item == pytest.approx(expected)
    assert item_score(arm).standard_error == pytest.approx(math.sqrt(expected))


def test_seed_variance_of_an_average_comes_from_each_seeds_average() -> None:
    # Opposite seed effects cancel in the average; adding the categories' variances would not.
    a = np.tile([[1.0], [3.0]], (1, 20)) + np.arange(20) / 10
    b = np.tile([[3.0], [1.0]], (1, 20)) + np.arange(20) / 10
    arm = Arm({"a": a, "b": b}, {"a": 0.5, "b": 0.5})
    assert score_components(arm).seed == pytest.approx(0.0)


def test_one_seed_has_no_recipe_interval_but_one_over_items() -> None:
    rng = np.random.default_rng(1)
    arms = [one(rng.random((1, 50))) for _ in range(2)]
    recipe, checkpoint = crossed_difference(*arms), item_difference(*arms)
    assert math.isnan(recipe.low) and math.isnan(recipe.high) and not recipe.defined
    assert math.isnan(recipe.p_value)
    assert checkpoint.defined and checkpoint.claim is Claim.CHECKPOINT
    assert recipe.value == checkpoint.value


def test_identical_arms_have_a_zero_difference_and_no_interval_of_width_zero() -> None:
    rows = np.array([[0.0, 1.0] * 10, [1.0, 1.0] * 10])
    effect = crossed_difference(one(rows), one(np.zeros_like(rows) + rows))
    assert effect.value == 0.0
    constant = crossed_difference(one(np.ones((3, 20))), one(np.zeros((3, 20))))
    assert constant.value == 1.0 and not constant.defined


def test_welch_degrees_ignore_an_arm_without_seed_spread() -> None:
    rng = np.random.default_rng(2)
    moving = rng.normal(0, 1, (3, 1)) + np.zeros((3, 50))
    still = np.zeros((3, 50))
    assert difference_components(one(moving), one(still)).seed_degrees == pytest.approx(2.0)


def test_clusters_widen_the_item_part() -> None:
    rows = np.repeat(np.array([[0.0, 1.0, 1.0, 0.0, 1.0]]), 4, axis=1)
    tied = Arm({"all": rows}, {"all": 1.0}, {"all": [i // 4 for i in range(20)]})
    assert score_components(tied).item > 3 * score_components(one(rows)).item


@pytest.mark.parametrize("function", [crossed_difference, matched_difference])
def test_arms_on_different_items_are_refused(function: object) -> None:
    left, right = one(np.zeros((2, 20))), one(np.zeros((2, 21)))
    with pytest.raises(ValueError, match="arms differ"):
        function(left, right)  # type: ignore[operator]


def test_residual_mean_square_of_an_additive_table_is_zero() -> None:
    additive = np.array([[1.0], [2.0], [4.0]]) + np.array([[0.0, 5.0, 1.0]])
    assert residual_mean_square(additive) == pytest.approx(0.0)
    assert math.isnan(residual_mean_square(np.ones((1, 9))))


def test_seeds_needed_make_the_margin_detectable() -> None:
    rng = np.random.default_rng(6)
    base = rng.normal(0, 1, 2000)
    arms = [one(base + rng.normal(0, 1.0, (3, 1)) + np.zeros((3, 2000))) for _ in range(2)]
    parts = difference_components(*arms)
    count = seeds_needed(parts, 3, 1.0)
    assert count is not None and 4 <= count <= 50
    error = parts.error * math.sqrt(3 / count)
    assert detectable_effect(error, 2 * (count - 1)) <= 1.0 + 1e-9
    assert seeds_needed(parts, 3, 1e-6) is None
