"""Published values beside those of `test_reference_values.py`; each test names its source."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ablate.stats.components import one_way_components
from ablate.stats.factorial import ErrorTerm, factorial
from ablate.stats.paired import mean_over_levels
from ablate.stats.paired_intervals import PairedCounts, newcombe, tango
from ablate.stats.profiles import (
    improvement_probability,
    interquartile_mean,
    performance_profile,
)
from ablate.stats.signal import separation

DYESTUFF = [
    [1545, 1440, 1440, 1520, 1580],
    [1540, 1555, 1490, 1560, 1495],
    [1595, 1550, 1605, 1510, 1560],
    [1445, 1440, 1595, 1465, 1545],
    [1595, 1630, 1515, 1635, 1625],
    [1520, 1455, 1450, 1480, 1445],
]
"""Yields of six batches (Davies and Goldsmith 1972, as in R's lme4)."""

DPO_PPO = {
    "StackExchange": ([55.3, 47.8, 42.4, 56.2, 92.0, 46.7], [55.1, 47.8, 46.4, 54.2, 92.6, 47.4]),
    "ChatArena": ([55.4, 50.2, 45.9, 58.5, 67.3, 50.8], [55.2, 49.2, 46.4, 55.8, 79.4, 49.7]),
    "HH-RLHF": ([55.2, 47.6, 44.2, 60.0, 93.4, 46.6], [54.9, 48.6, 45.9, 58.0, 92.8, 47.0]),
    "Nectar": ([55.6, 45.8, 39.0, 68.1, 93.3, 48.4], [55.2, 51.2, 45.6, 60.1, 92.6, 47.4]),
    "UltraFeedback": ([55.3, 50.9, 45.9, 69.3, 91.9, 52.8], [56.0, 52.0, 47.7, 71.5, 91.8, 54.4]),
}
"""Table 2 of Ivison et al. (2024): six categories under DPO and PPO by preference data."""

RUNS_X, RUNS_Y = [[1, 2], [2, 2], [1, 1], [2, 1]], [[1, 1], [2, 2], [3, 3]]
"""Of rliable's own tests: runs x tasks."""


def test_variance_components_of_dyestuff() -> None:
    # Mean squares 11271.5 and 2451.25: (11271.5 - 2451.25) / 5, and the root of 11271.5 / 30.
    found = one_way_components(DYESTUFF)
    assert found.mean == 1527.5
    assert found.standard_error == pytest.approx(19.383, abs=5e-4)
    assert (found.between, found.within) == pytest.approx((1764.05, 2451.25))


def test_components_of_unequal_groups_are_unbiased() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(3000):
        groups = [rng.normal(rng.normal(0, 2), 1, size) for size in (2, 3, 7)]
        parts = one_way_components(groups)
        found.append((parts.between, parts.within))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / math.sqrt(3000)
    assert (abs(mean - [4, 1]) < 4 * error).all()


def test_one_group_shows_nothing_between() -> None:
    found = one_way_components([[1.0, 3.0], []])
    assert (found.mean, found.within) == (2.0, 2.0)
    assert math.isnan(found.between) and math.isnan(found.standard_error)
    assert math.isnan(one_way_components([]).mean)
    assert math.isnan(one_way_components([[1.0], [2.0]]).between)


def test_rliables_summaries_of_its_own_tests() -> None:
    assert (interquartile_mean(RUNS_X), interquartile_mean(RUNS_Y)) == (1.5, 2.0)
    assert improvement_probability(RUNS_X, RUNS_Y) == pytest.approx(1 / 3)
    # Mann and Whitney's U over the number of pairs, task by task.
    by_task = [
        stats.mannwhitneyu(x, y).statistic / 12
        for x, y in zip(np.transpose(RUNS_X), np.transpose(RUNS_Y), strict=True)
    ]
    assert np.mean(by_task) == pytest.approx(1 / 3)


def test_a_profile_counts_what_is_above_a_threshold() -> None:
    assert performance_profile([[1.0, 2.0], [3.0, 3.0]], [0, 1, 2.5, 3]).tolist() == [
        *(1.0, 0.75, 0.5, 0.0)
    ]
    assert np.isnan(performance_profile([], [0.0])).all()
    assert math.isnan(interquartile_mean([]))
    with pytest.raises(ValueError, match="do not match"):
        improvement_probability(RUNS_X, [[1, 2, 3]])


def test_signal_and_noise_of_the_toy_example() -> None:
    # (.60 - .50) / .55 over the root of (.02^2 + 0 + .02^2) / 3 over .60.
    found = separation([0.50, 0.55, 0.60], [0.58, 0.60, 0.62])
    assert found.ratio == pytest.approx(6.680, abs=5e-4)
    assert math.isnan(separation([0.5], [0.5, 0.6]).ratio)
    assert math.isnan(separation([0.4, 0.5], [0.5, 0.5]).ratio)


@pytest.mark.parametrize(
    ("counts", "level", "bounds"),
    [
        (PairedCounts(50, 40, 20, 50), 0.95, (0.03086, 0.21806)),
        (PairedCounts(20, 0, 1, 23), 0.90, (-0.0957, 0.0365)),
    ],
)
def test_tangos_score_intervals(
    counts: PairedCounts, level: float, bounds: tuple[float, float]
) -> None:
    found = tango(counts, level=level)
    assert (found.low, found.high) == pytest.approx(bounds, abs=5e-5)
    assert found.value == (counts.gained - counts.lost) / counts.items


def test_tangos_interval_without_discordance_is_that_of_one_score() -> None:
    # Without any, |d| / sqrt(|d| (1 - |d|) / n) = z at d = z^2 / (n + z^2).
    found = tango(PairedCounts(20, 0, 0, 23))
    z = float(stats.norm.ppf(0.975))
    assert (found.low, found.high) == pytest.approx((-(z**2) / (43 + z**2), z**2 / (43 + z**2)))
    assert tango(PairedCounts(0, 23, 0, 0)).high == pytest.approx(1)
    assert math.isnan(tango(PairedCounts(0, 0, 0, 0)).low)


def test_newcombes_tenth_method() -> None:
    found = newcombe(PairedCounts(14, 5, 0, 22))
    assert (found.value, found.low, found.high) == pytest.approx(
        (0.12195, 0.01148, 0.22649), abs=5e-6
    )
    turned = newcombe(PairedCounts(14, 0, 5, 22))
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    assert math.isnan(newcombe(PairedCounts(0, 0, 0, 0)).value)


@pytest.mark.parametrize("interval", [tango, newcombe])
def test_paired_intervals_cover_the_truth_as_often_as_stated(interval: object) -> None:
    rng = np.random.default_rng(3)
    drawn = rng.multinomial(80, [0.4, 0.15, 0.05, 0.4], size=600)
    bounds = [interval(PairedCounts(*map(int, row))) for row in drawn]  # type: ignore[operator]
    covered = np.mean([b.low <= 0.1 <= b.high for b in bounds])
    assert 0.95 - 3 * math.sqrt(0.05 * 0.95 / 600) <= covered <= 0.99


def test_t_and_p_of_each_category_of_ppo_against_dpo() -> None:
    # Deltas of Table 2 over five data sets; the published re-analysis has no category below .05.
    deltas = np.array([np.subtract(ppo, dpo) for dpo, ppo in DPO_PPO.values()])
    for column in deltas.T:
        ours, theirs = mean_over_levels(column), stats.ttest_1samp(column, 0)
        assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-6)
    average = mean_over_levels(deltas.mean(axis=1))
    assert average.value / average.standard_error == pytest.approx(2.73, abs=0.005)
    assert average.p_value == pytest.approx(0.053, abs=5e-4)


@pytest.mark.parametrize(
    ("decimals", "algorithm", "data", "p_value"),
    [(2, 7.48, 72.1, 0.052), (9, 2.7256**2, 71.61, 0.0527)],
)
def test_two_way_analysis_of_ppo_and_dpo_on_five_data_sets(
    decimals: int, algorithm: float, data: float, p_value: float
) -> None:
    """The stated F of 7.48 is of averages rounded to two decimals; unrounded it is t squared."""
    cells = {
        (name, method): [round(float(np.mean(row)), decimals)]
        for name, rows in DPO_PPO.items()
        for method, row in zip(("DPO", "PPO"), rows, strict=True)
    }
    found = factorial(cells, ("dataset", "algorithm"))
    assert found.error is ErrorTerm.INTERACTION and found.error_degrees == 4
    by_data, by_algorithm = found.terms
    assert by_algorithm.degrees == 1 and by_data.degrees == 4
    assert by_algorithm.f_statistic == pytest.approx(algorithm, abs=5e-3)
    assert by_algorithm.p_value == pytest.approx(p_value, abs=5e-4)
    assert by_data.f_statistic == pytest.approx(data, abs=0.05)
    difference = found.means[-1].difference
    assert (difference.value, difference.low, difference.high) == pytest.approx(
        (0.67, -0.01, 1.35), abs=6e-3
    )


def test_an_average_is_the_plain_mean_of_its_categories_and_deltas_are_rounded_last() -> None:
    dpo, ppo = DPO_PPO["UltraFeedback"]
    assert round(float(np.mean(ppo)), 1) == 62.2
    assert round(float(np.mean(ppo) - np.mean(dpo)), 1) == 1.2
    # HH-RLHF: 57.83 and 57.87 differ by 0.03, and rounded first by 0.1.
    before, after = (float(np.mean(row)) for row in DPO_PPO["HH-RLHF"])
    assert round(after - before, 1) == 0.0
    assert round(round(after, 1) - round(before, 1), 1) == 0.1
