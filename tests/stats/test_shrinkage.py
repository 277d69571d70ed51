from __future__ import annotations

import math

import numpy as np
import pytest

from ablate.stats.shrinkage import between_variance, expected_maximum, shrunken


def test_equal_errors_shrink_by_the_share_of_noise_in_the_spread() -> None:
    """Values -3, 0, 3 have variance 9, errors 2 explain 4 of it: tau^2 = 5, factor 5/9."""
    assert shrunken([-3.0, 0.0, 3.0], [2.0, 2.0, 2.0]) == pytest.approx([-5 / 3, 0.0, 5 / 3])


def test_a_spread_that_noise_explains_leaves_the_mean_alone() -> None:
    assert shrunken([1.0, 2.0, 3.0], [5.0, 5.0, 5.0]) == pytest.approx([2.0, 2.0, 2.0])


def test_a_precise_effect_moves_less_than_a_vague_one() -> None:
    precise, vague, *_ = shrunken([4.0, 4.0, -1.0, 0.0, 1.0], [0.1, 3.0, 1.0, 1.0, 1.0])
    assert 4.0 - precise < 0.05 and 4.0 - vague > 1.0


def test_the_root_solves_the_equation_of_paule_and_mandel() -> None:
    values, variances = np.array([1.0, 4.0, 9.0, 2.0]), np.array([0.5, 1.0, 2.0, 0.1])
    total = variances + between_variance(values, variances)
    mean = (values / total).sum() / (1 / total).sum()
    assert ((values - mean) ** 2 / total).sum() == pytest.approx(3.0)


def test_an_undefined_error_stays_undefined_and_is_no_part_of_the_family() -> None:
    found = shrunken([-3.0, 99.0, 0.0, 3.0], [2.0, math.nan, 2.0, 2.0])
    assert math.isnan(found[1]) and found[3] == pytest.approx(5 / 3)
    assert all(math.isnan(value) for value in shrunken([1.0, 2.0], [1.0, 1.0]))


def test_the_largest_of_many_effects_is_nearer_to_the_truth_once_shrunken() -> None:
    rng = np.random.default_rng(0)
    raw, drawn_in = [], []
    for _ in range(400):
        truth = rng.normal(0, 0.5, 12)
        seen = truth + rng.normal(0, 1, 12)
        best = int(seen.argmax())
        raw.append(seen[best] - truth[best])
        drawn_in.append(shrunken(list(seen), [1.0] * 12)[best] - truth[best])
    assert np.mean(raw) > 1.0 and abs(np.mean(drawn_in)) < 0.2


@pytest.mark.parametrize(
    ("cells", "expected"), [(1, 0.0), (4, 1.02), (8, 1.42), (12, 1.63), (24, 1.94), (48, 2.23)]
)
def test_the_best_of_many_null_cells_looks_better_than_it_is(cells: int, expected: float) -> None:
    assert expected_maximum(cells) == pytest.approx(expected, abs=0.011)
