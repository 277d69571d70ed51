"""Fits of Gao et al. (arXiv:2210.10760): known curves come back, thin data are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ablate.stats.overoptimization import FEWEST_POINTS, Curve, Form, fit_reward, peak_of

DISTANCE = np.linspace(0.1, 8.0, 30)


def _rl(d: np.ndarray, start: float, alpha: float, beta: float) -> np.ndarray:
    reward: np.ndarray = start + d * (alpha - beta * np.log(d))
    return reward


def test_a_reinforcement_learning_curve_gives_back_its_coefficients() -> None:
    """R0 0.4, alpha 1, beta 0.5: the peak is at exp(1 / 0.5 - 1) = e."""
    fit = fit_reward([(DISTANCE, _rl(DISTANCE, 0.4, 1.0, 0.5))], "rl")
    assert (fit.start, fit.alpha, fit.beta) == pytest.approx((0.4, 1.0, 0.5))
    assert fit.r_squared == pytest.approx(1)
    assert fit.peak.value == pytest.approx(math.e)
    assert not fit.peak.defined  # One seed has no spread over seeds.


def test_a_best_of_n_curve_by_hand() -> None:
    """R(d) = 1 + d (3 - d/2): 1, 3.5, 5, 5.5, 5 at d = 0 to 4; the peak is 3 / (2 * 0.5) = 3."""
    curve = (np.arange(5.0), np.array([1, 3.5, 5, 5.5, 5]))
    fit = fit_reward([curve], "best_of_n")
    assert (fit.start, fit.alpha, fit.beta) == pytest.approx((1, 3, 0.5))
    assert fit.peak.value == pytest.approx(3)
    assert fit.at(np.array([2.0])) == pytest.approx([5])


def test_r_squared_is_the_share_of_variance_explained() -> None:
    """A zigzag of +1 and -1 around 0 at d = 1..6 that no smooth curve follows."""
    d, reward = np.arange(1.0, 7.0), np.array([1.0, -1, 1, -1, 1, -1])
    fit = fit_reward([(d, reward)], "best_of_n")
    # Against an independent route: R^2 is the squared correlation of fitted and observed values.
    assert fit.r_squared == pytest.approx(np.corrcoef(fit.at(d), reward)[0, 1] ** 2)
    assert fit.r_squared < 0.3


@pytest.mark.parametrize(
    ("distance", "reward", "said"),
    [
        (np.arange(4.0), np.arange(4.0), f"4 distances; {FEWEST_POINTS}"),
        (np.full(20, 2.0), np.arange(20.0), "1 distances"),
        (np.linspace(3, 4, 20), np.arange(20.0), "from 3.00 to 4.00 span too little"),
        (np.arange(9.0), np.full(9, 0.7), "does not move"),
        (np.full(9, np.nan), np.arange(9.0), "0 distances"),
        (np.arange(9.0), np.full(9, np.nan), "0 distances"),
    ],
)
def test_thin_data_are_refused_with_a_reason(
    distance: np.ndarray, reward: np.ndarray, said: str
) -> None:
    fit = fit_reward([(distance, reward)], "rl")
    assert said in fit.refused
    assert not fit.defined
    assert math.isnan(fit.alpha) and math.isnan(fit.peak.value)


def test_no_seeds_are_refused() -> None:
    assert fit_reward([], "rl").refused


def test_a_curve_that_only_rises_has_no_peak() -> None:
    """R = d: alpha 1, beta 0."""
    fit = fit_reward([(DISTANCE, DISTANCE + 1e-6 * np.sin(DISTANCE))] * 3, "best_of_n")
    assert fit.defined
    assert math.isnan(peak_of(1.0, 0.0, "best_of_n"))
    assert math.isnan(peak_of(1.0, -0.1, "rl"))
    assert math.isnan(peak_of(-1.0, 0.5, "best_of_n"))  # Falls from the start.


def test_seeds_that_are_all_alike_give_no_interval() -> None:
    curve = (DISTANCE, _rl(DISTANCE, 0.0, 1.0, 0.5))
    assert not fit_reward([curve] * 3, "rl").peak.defined


def _seeds(rng: np.random.Generator, count: int, form: Form) -> list[Curve]:
    """Each seed has a curve of its own about alpha 1, beta 0.5 and a walk of its own in d."""
    curves = []
    for _ in range(count):
        d = np.sort(rng.uniform(0.05, 8.0, 25))
        alpha, beta = 1 + rng.normal(0, 0.08), 0.5 + rng.normal(0, 0.02)
        bend = np.log(d) if form == "rl" else d
        curves.append((d, d * (alpha - beta * bend) + rng.normal(0, 0.1, len(d))))
    return curves


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_peaks_interval_holds_the_true_peak_at_its_rate(count: int) -> None:
    """The true peak is e; of 300 studies at 95 %, three standard errors are 0.038.

    With two seeds beta's own interval (t with 1 degree) holds 0 in many studies: no peak then.
    """
    rng = np.random.default_rng(7)
    peaks = [fit_reward(_seeds(rng, count, "rl"), "rl").peak for _ in range(300)]
    held = [peak.low <= math.e <= peak.high for peak in peaks if peak.defined]
    assert len(held) > (100 if count == 2 else 280)
    assert abs(np.mean(held) - 0.95) < 0.04
