"""Exact p-values of rank correlations, on orders that can be counted by hand."""

from __future__ import annotations

import math

import pytest
from scipy.stats import spearmanr

from ablate.stats.rank_order import spearman_p


def test_three_things_in_order_are_so_by_chance_one_time_in_three() -> None:
    """Of 6 orders, 2 have a coefficient of 1 or -1."""
    assert spearman_p([1, 2, 3], [4, 5, 9]) == pytest.approx(1 / 3)


def test_four_reward_models_cannot_be_significant() -> None:
    """4! = 24 orders: a perfect one and its reverse are 2 of 24."""
    assert spearman_p([1, 2, 3, 4], [1, 2, 3, 4]) == pytest.approx(2 / 24)
    # RewardBench and best-of-N of the paper's Table 3: |rho| >= 0.2 in 22 of 24 orders, for the
    # sums of squared rank differences are even and only 10, in 2 orders, gives a rho of 0.
    assert spearman_p([61.0, 79.8, 73.6, 73.9], [56.9, 58.3, 61.1, 60.6]) == pytest.approx(22 / 24)


def test_more_than_eight_pairs_take_the_approximation() -> None:
    left, right = [1, 2, 3, 4, 5, 6, 7, 8, 9], [2, 1, 4, 3, 6, 5, 8, 7, 9]
    assert spearman_p(left, right) == pytest.approx(spearmanr(left, right).pvalue)


@pytest.mark.parametrize(
    ("left", "right"), [([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, math.nan], [1, 2, 3])]
)
def test_too_few_pairs_or_no_spread_have_no_p(left: list[float], right: list[float]) -> None:
    assert math.isnan(spearman_p(left, right))
