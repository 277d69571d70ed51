"""Published and hand-derived values; the inputs' origin stands in each test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ablate.stats.crossed import Arm, crossed_difference, difference_components, matched_components
from ablate.stats.estimate import Estimate, mean_error, mean_estimate, wilson
from ablate.stats.multiplicity import Correction, adjust
from ablate.stats.paired import (
    bonett_price,
    exact_sign_test,
    mcnemar_exact,
    mcnemar_mid,
    mean_over_levels,
    tipping_seed_sd,
)
from ablate.stats.power import Assumptions, detectable_effect, items_needed, planned_effect
from ablate.stats.quantiles import normal_quantile, t_quantile, t_two_sided

BENJAMINI_HOCHBERG = [
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
    *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
]


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(1, 12.7062), (2, 4.30265), (4, 2.77645), (9, 2.26216), (30, 2.04227)],
)
def test_t_quantiles_agree_with_the_table(degrees: int, expected: float) -> None:
    assert t_quantile(0.975, degrees) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("degrees", [1.0, 1.3, 2.0, 3.98, 17.5, 400.0, 1e6, 1e9])
@pytest.mark.parametrize("probability", [0.01, 0.5, 0.8, 0.95, 0.975, 0.99917])
def test_t_quantiles_agree_with_scipy(degrees: float, probability: float) -> None:
    expected = stats.t.ppf(probability, degrees)
    assert t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("degrees", [1.0, 2.7, 5.0, 60.0, 3e4])
@pytest.mark.parametrize("statistic", [0.0, 0.3, 1.0, 2.5, 8.0, -40.0])
def test_t_tails_agree_with_scipy(degrees: float, statistic: float) -> None:
    expected = 2 * stats.t.sf(abs(statistic), degrees)
    assert t_two_sided(statistic, degrees) == pytest.approx(expected, rel=1e-9)


def test_normal_quantile_of_the_usual_levels() -> None:
    assert normal_quantile(0.975) == pytest.approx(1.959964, abs=1e-6)
    assert normal_quantile(0.8) == pytest.approx(0.841621, abs=1e-6)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_newcombe_1998(
    successes: int, trials: int, low: float, high: float
) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=6e-5)


def test_clustered_error_agrees_with_inspect_ai() -> None:
    scores, clusters = np.arange(20), [i % 4 for i in range(20)]
    error, degrees = mean_error(scores, clusters)
    # Without C/(C-1) = 4/3 the same sums give 0.559017; without clusters 1.322876.
    assert error == pytest.approx(0.645497, abs=1e-6)
    assert degrees == 3
    assert error * math.sqrt(3 / 4) == pytest.approx(0.559017, abs=1e-6)
    assert mean_error(scores)[0] == pytest.approx(1.322876, abs=1e-6)


def test_clustered_error_of_paired_differences() -> None:
    d = [1, 0, 1, 0, -1, 0, 0, 1, 0, 0, 1, 1]
    clusters = [i // 3 for i in range(12)]
    assert np.mean(d) == pytest.approx(1 / 3)
    assert mean_error(d)[0] == pytest.approx(0.188025, abs=1e-6)
    assert mean_error(d, clusters)[0] == pytest.approx(0.235702, abs=1e-6)


@pytest.mark.parametrize("bad", [[0, 1, None], [0, 1, math.nan], [0, 1]])
def test_a_missing_cluster_key_fails(bad: list[float | None]) -> None:
    with pytest.raises(ValueError, match="3 scores need 3 cluster keys"):
        mean_error([1.0, 2.0, 3.0], bad)


@pytest.mark.parametrize(
    ("gained", "lost", "items", "value", "low", "high"),
    [
        (40, 20, 160, 0.12346, 0.03011, 0.21680),
        (0, 1, 44, -0.02174, -0.09527, 0.05179),
        (30, 24, 541, 0.01105, -0.01595, 0.03804),
        (2, 0, 30, 0.0625, -0.05807, 0.18307),
    ],
)
def test_bonett_price_intervals(
    gained: int, lost: int, items: int, value: float, low: float, high: float
) -> None:
    found = bonett_price(gained, lost, items)
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=6e-6)


def test_mcnemar_exact_and_mid_p() -> None:
    assert mcnemar_exact(40, 20) == pytest.approx(0.013489, abs=1e-6)
    assert mcnemar_mid(40, 20) == pytest.approx(0.009853, abs=1e-6)
    assert (mcnemar_exact(5, 0), mcnemar_mid(5, 0)) == (0.0625, 0.03125)
    assert (mcnemar_exact(0, 0), mcnemar_mid(0, 0)) == (1.0, 1.0)


def test_mcnemar_stays_exact_for_thousands_of_items() -> None:
    assert mcnemar_exact(1500, 1300) == pytest.approx(stats.binomtest(1300, 2800).pvalue)


@pytest.mark.parametrize(
    ("correction", "expected"),
    [
        ("holm", [0.03, 0.06, 0.06, 0.02]),
        ("bh", [0.02, 0.04, 0.04, 0.02]),
        ("bonferroni", [0.04, 0.16, 0.12, 0.02]),
        ("none", [0.01, 0.04, 0.03, 0.005]),
    ],
)
def test_adjusted_p_values(correction: Correction, expected: list[float]) -> None:
    assert adjust([0.01, 0.04, 0.03, 0.005], correction) == pytest.approx(expected)


@pytest.mark.parametrize(("correction", "rejected"), [("bh", 4), ("bonferroni", 3), ("holm", 3)])
def test_rejections_of_benjamini_and_hochberg_1995(correction: Correction, rejected: int) -> None:
    assert sum(p < 0.05 for p in adjust(BENJAMINI_HOCHBERG, correction)) == rejected


def test_an_undefined_p_does_not_enlarge_the_family() -> None:
    adjusted = adjust([0.01, math.nan, 0.04], "holm")
    assert adjusted[0] == pytest.approx(0.02) and math.isnan(adjusted[1])


def test_an_unknown_correction_is_refused() -> None:
    with pytest.raises(ValueError, match="'sidak' is not one of bh, bonferroni, holm, none"):
        adjust([0.1], "sidak")  # type: ignore[arg-type]


def test_two_one_sided_tests_by_the_ninety_percent_interval() -> None:
    d = [0.02, -0.01, 0.0, 0.01, -0.02, 0.015, 0.005, -0.005, 0.01, -0.01]
    # Ten items are below the floor for an interval, so the interval is over levels here.
    low, high = mean_over_levels(d).bounds(0.90)
    assert (low, high) == pytest.approx((-0.005864, 0.008864), abs=1e-6)


def test_the_crossed_error_of_the_worked_example() -> None:
    control = [[1, 1, 0, 1, 0, 1, 1, 0], [1, 0, 0, 1, 0, 1, 1, 0], [1, 1, 0, 1, 1, 1, 0, 0]]
    treatment = [[1, 1, 1, 1, 0, 1, 1, 0], [1, 1, 0, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 1, 0]]
    arms = [Arm({"all": np.array(rows, float)}, {"all": 1.0}) for rows in (treatment, control)]
    parts = difference_components(*arms)
    effect = crossed_difference(*arms)
    assert effect.value == pytest.approx(0.208333, abs=1e-6)
    assert parts.item == pytest.approx(0.00768849, abs=1e-8)
    assert parts.seed == pytest.approx(0.00347222, abs=1e-8)
    assert parts.overlap == pytest.approx(0.00942460, abs=1e-8)
    assert effect.standard_error == pytest.approx(0.0876840, abs=1e-7)
    matched = matched_components(*arms)
    assert math.sqrt(matched.item + matched.seed - matched.overlap) == pytest.approx(
        0.0416667, abs=1e-7
    )


def test_sample_size_and_detectable_effect_of_miller_2024() -> None:
    assert items_needed(0.03, 1 / 9) == 969
    for resamples, expected in ((1, 0.1327), (10, 0.0757)):
        variance = 1 / 9 + 2 * (1 / 6) / resamples
        found = detectable_effect(math.sqrt(variance / 198), math.inf)
        assert found == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    ("items", "discordance", "expected"),
    [(200, 0.1, 6.3), (164, 0.2, 9.8), (541, 0.05, 2.7), (1319, 0.1, 2.4), (14042, 0.3, 1.3)],
)
def test_planned_effect_of_one_checkpoint_pair(
    items: int, discordance: float, expected: float
) -> None:
    found = planned_effect([items], 1, assumptions=Assumptions(discordance=discordance))
    assert found == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize(("ratio", "seeds"), [(1.0, 17), (1.5, 9), (2.0, 6), (3.0, 4)])
def test_seeds_that_a_two_sample_t_test_needs(ratio: float, seeds: int) -> None:
    # With a million items only the seeds' spread is left: the t test on S seeds a side.
    chosen = Assumptions(discordance=1e-6, seed_sd=1.0)
    assert planned_effect([10**6], seeds, assumptions=chosen) <= ratio * 1.03
    assert planned_effect([10**6], seeds - 1, assumptions=chosen) > ratio


def test_ppo_over_dpo_on_five_data_sets_of_the_paper() -> None:
    # Averages of Table 2 recomputed from the six categories; published mean +0.67, p = .053.
    dpo = np.array(
        [
            [55.3, 47.8, 42.4, 56.2, 92.0, 46.7],
            [55.4, 50.2, 45.9, 58.5, 67.3, 50.8],
            [55.2, 47.6, 44.2, 60.0, 93.4, 46.6],
            [55.6, 45.8, 39.0, 68.1, 93.3, 48.4],
            [55.3, 50.9, 45.9, 69.3, 91.9, 52.8],
        ]
    )
    ppo = np.array(
        [
            [55.1, 47.8, 46.4, 54.2, 92.6, 47.4],
            [55.2, 49.2, 46.4, 55.8, 79.4, 49.7],
            [54.9, 48.6, 45.9, 58.0, 92.8, 47.0],
            [55.2, 51.2, 45.6, 60.1, 92.6, 47.4],
            [56.0, 52.0, 47.7, 71.5, 91.8, 54.4],
        ]
    )
    mean = mean_over_levels((ppo - dpo).mean(axis=1))
    assert (mean.value, mean.low, mean.high) == pytest.approx((0.67, -0.01, 1.35), abs=0.005)
    assert mean.p_value == pytest.approx(0.053, abs=0.0005)
    by_category = [mean_over_levels(d) for d in (ppo - dpo).T]
    deltas = [e.value for e in by_category]
    assert deltas == pytest.approx([-0.08, 1.30, 2.92, -2.50, 2.26, 0.12], abs=0.005)
    adjusted = adjust([e.p_value for e in by_category], "holm")
    assert adjusted == pytest.approx([1, 1, 0.32, 1, 1, 1], abs=0.006)


def test_a_sign_test_on_five_wins_is_not_significant() -> None:
    assert exact_sign_test(5, 0) == 2 / 2**5


def test_fewer_than_fifteen_items_give_no_interval() -> None:
    assert not mean_estimate([0.0, 1.0] * 7).defined
    assert mean_estimate([0.0, 1.0] * 8).defined
    assert math.isnan(mean_estimate([]).value)


def test_tipping_seed_sd_solves_its_equation() -> None:
    # 1.96 * sqrt(1^2 + 2 sd^2) = 3.92 where sd = sqrt(3 / 2).
    z = normal_quantile(0.975)
    difference = Estimate(2 * z, 0.0, 1.0, standard_error=1.0, degrees=math.inf)
    assert tipping_seed_sd(difference) == pytest.approx(math.sqrt(1.5))
    # 2.576 * sqrt(1^2 + 2 sd^2) = 3.92 at alpha 0.01.
    strict = ((2 * z / normal_quantile(0.995)) ** 2 - 1) / 2
    assert tipping_seed_sd(difference, alpha=0.01) == pytest.approx(math.sqrt(strict))
    weak = Estimate(1.0, 0.0, 1.0, standard_error=1.0, degrees=math.inf)
    assert tipping_seed_sd(weak) == 0.0
    assert math.isnan(tipping_seed_sd(Estimate(1.0, math.nan, math.nan)))
