from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ablate.stats.paired import mcnemar_exact
from ablate.stats.permutation import sign_flip


def test_few_differences_are_counted_exactly() -> None:
    """Sums of +-1 +-2 +-3: 6, 4, 2, 0, 0, -2, -4, -6; two of eight are as far out as 6."""
    assert sign_flip([1.0, 2.0, 3.0], seed=0) == 2 / 8
    assert sign_flip([1.0, 2.0, -3.0], seed=0) == 1.0


def test_right_or_wrong_items_give_the_exact_test_of_mcnemar() -> None:
    d = [1.0] * 9 + [-1.0] * 2 + [0.0] * 30
    assert sign_flip(d, seed=0) == pytest.approx(mcnemar_exact(9, 2))


def test_scipy_gives_the_same() -> None:
    d = np.random.default_rng(0).normal(0.4, 1, 12)
    expected = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=5000, alternative="two-sided"
    ).pvalue
    assert sign_flip(d, draws=5000, seed=0) == pytest.approx(expected)


def test_many_differences_are_sampled_and_never_give_0() -> None:
    d = np.random.default_rng(1).normal(0.15, 1, 300)
    expected = stats.ttest_1samp(d, 0).pvalue
    assert sign_flip(d, draws=20_000, seed=0) == pytest.approx(expected, abs=0.005)
    assert sign_flip(np.ones(200), draws=999, seed=0) == 1 / 1000


def test_a_cluster_flips_as_one() -> None:
    """Ten copies of three differences are three differences."""
    d = np.repeat([1.0, 2.0, 3.0], 10)
    assert sign_flip(d, [i // 10 for i in range(30)], seed=0) == 2 / 8


def test_no_difference_and_no_data() -> None:
    assert sign_flip([0.0, 0.0], seed=0) == 1.0
    assert math.isnan(sign_flip([], seed=0)) and math.isnan(sign_flip([1.0, math.nan], seed=0))


def test_a_true_null_is_rejected_as_often_as_stated() -> None:
    rng = np.random.default_rng(2)
    p = [sign_flip(rng.standard_t(3, 40), draws=400, seed=k) for k in range(600)]
    assert np.mean(np.array(p) < 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)
