"""Best-of-k curves against values by hand, exact order statistics, and simulated coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from ablate.stats.tuning_curves import best_so_far, order_band, tuning_curve


def test_the_median_of_the_best_of_k_is_a_quantile_of_the_draws() -> None:
    # Of 4 draws the quantiles at 2^(-1/k) = .5, .707, .794, .841 are the 2nd, 3rd, 4th and 4th:
    # the smallest whose share, 1/4, 2/4, 3/4 or 1, is not below.
    curve = tuning_curve([30.0, 10.0, 40.0, 20.0])
    assert curve.median.tolist() == [20.0, 30.0, 40.0, 40.0]
    assert curve.k.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_one_draw_has_the_band_of_a_uniform_and_bounds_nothing() -> None:
    # F at the only draw is uniform, so its 95 % bounds are .025 and .975 (up to the simulation).
    # The median of one draw is F's quantile at .5: no draw is surely above it or below it.
    below, above = order_band(1, 0.95)
    assert below[0] == pytest.approx(0.025, abs=0.003)
    assert above[0] == pytest.approx(0.975, abs=0.003)
    curve = tuning_curve([7.0])
    assert (curve.low[0], curve.median[0], curve.high[0]) == (-math.inf, 7.0, math.inf)


def test_draws_without_a_value_are_worse_than_all_others() -> None:
    curve = tuning_curve([math.nan, 5.0, math.nan, 1.0])
    # In order: two without a value, 1, 5; the shares .5, .707, .794, .841 ask for 2nd to 4th.
    assert curve.median.tolist() == [-math.inf, 1.0, 5.0, 5.0]


def test_no_draws_have_an_empty_curve() -> None:
    assert tuning_curve([]).median.tolist() == []


def test_bounds_enclose_the_median_and_tighten_with_more_draws() -> None:
    def width(n: int) -> float:
        curve = tuning_curve(np.linspace(0.0, 1.0, n).tolist())
        assert (curve.low <= curve.median).all() and (curve.median <= curve.high).all()
        return float(curve.high[0] - curve.low[0])

    assert width(100) < width(30) < 1.0


def test_the_band_of_the_distribution_holds_at_its_level() -> None:
    # A second generator: 4,000 samples of 12 uniforms, whose own F is the identity. The share that
    # lies inside everywhere has a standard error of .0034 at 95 %.
    below, above = order_band(12, 0.95)
    draws = np.sort(np.random.default_rng(1).random((4_000, 12)), axis=1)
    inside = ((below <= draws) & (draws <= above)).all(axis=1).mean()
    assert inside == pytest.approx(0.95, abs=0.0125)


@pytest.mark.parametrize("rounded", [False, True])
def test_the_whole_curve_is_covered_at_least_at_its_level(rounded: bool) -> None:
    # Normal draws: the true curve is the normal quantile at 2^(-1/k). Rounding makes ties, for
    # which the band is wider than it need be; the true curve is then the rounded quantile.
    draws = np.random.default_rng(2).normal(size=(1_500, 12))
    true = stats.norm.ppf(0.5 ** (1 / np.arange(1, 13)))
    if rounded:
        draws, true = np.round(draws), np.round(true)
    held = 0
    for row in draws:
        curve = tuning_curve(row.tolist())
        held += bool(((curve.low <= true) & (true <= curve.high)).all())
    assert held / len(draws) >= 0.95 - 0.017  # Three standard errors at 1,500 studies.


def test_the_best_so_far_skips_what_has_no_value() -> None:
    found = best_so_far([math.nan, 2.0, 1.0, math.nan, 3.0])
    assert math.isnan(found[0]) and found[1:].tolist() == [2.0, 2.0, 2.0, 3.0]
