from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ablate.stats.crossed import Arm, Components, crossed_difference
from ablate.stats.power import (
    Assumptions,
    _critical,
    detectable_difference,
    detectable_effect,
    planned_components,
    planned_effect,
    seeds_needed,
)


def test_one_seed_sees_what_its_items_show() -> None:
    parts = planned_components([500], 1, Assumptions(discordance=0.2))
    # 100 sqrt(.2 / 500) = 2 points, times t_.975 + t_.8 on 499 degrees.
    expected = 2.0 * (stats.t.ppf(0.975, 499) + stats.t.ppf(0.8, 499))
    assert detectable_difference(parts, 1) == pytest.approx(expected)


def test_many_seeds_see_what_a_known_error_shows() -> None:
    parts = planned_components([500], 400, Assumptions())
    assert detectable_difference(parts, 400) == pytest.approx(
        detectable_effect(parts.error, math.inf), rel=0.01
    )


@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_seeds_alone_are_welchs_t_test(seeds: int) -> None:
    """No spread over items: found by scipy's Welch test in 8 of 10 studies."""
    parts = Components(1e-9, 2.0 / seeds, 0.0, 1e6, 2.0 * (seeds - 1))
    shift = detectable_difference(parts, seeds)
    rng = np.random.default_rng(0)
    sides = rng.normal(size=(2, 4000, seeds)) + np.array([shift, 0.0])[:, None, None]
    p = stats.ttest_ind(*sides, axis=1, equal_var=False).pvalue
    assert np.mean(p < 0.05) == pytest.approx(0.8, abs=0.025)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 12, 0.001])
def test_critical_values_are_those_of_t(alpha: float) -> None:
    degrees = np.array([1.0, 1.3, 2.2, 5.0, 17.0, 300.0, 1e6])
    assert _critical(alpha, degrees) == pytest.approx(stats.t.isf(alpha / 2, degrees), rel=4e-3)


def test_shared_items_are_the_sooner_averaged_out_the_less_of_them_is_stable() -> None:
    fleeting, stable = (
        planned_components([500], 5, Assumptions(stable_share=share)) for share in (0.0, 1.0)
    )
    # 100^2 .2 / 500 = 4 points squared at one seed.
    assert fleeting.item == pytest.approx(4 / 5) and stable.item == pytest.approx(4.0)
    assert stable.overlap == 0.0 and fleeting.error < stable.error


def test_a_planned_study_has_the_components_that_its_data_then_have() -> None:
    """Normal items: discordance .04 is a variance of 400 points squared, half of it stable."""
    rng = np.random.default_rng(0)
    chosen = Assumptions(discordance=0.04, seed_sd=2.0, stable_share=0.5)
    squares = []
    for _ in range(300):
        stable = rng.normal(0, math.sqrt(200), (1, 200))
        rows = [
            side * stable / 2 + rng.normal(0, 2, (3, 1)) + rng.normal(0, 10, (3, 200))
            for side in (1, -1)
        ]
        effect = crossed_difference(*(Arm({"all": r}, {"all": 1.0}) for r in rows))
        squares.append(effect.value**2)
    expected = planned_components([200], 3, chosen).error ** 2
    assert np.mean(squares) == pytest.approx(expected, rel=0.2)


def test_a_larger_family_needs_more_seeds() -> None:
    parts = planned_components([5000], 3, Assumptions(seed_sd=1.0))
    alone, many = seeds_needed(parts, 3, 2.0), seeds_needed(parts, 3, 2.0, comparisons=12)
    assert alone is not None and many is not None and alone < many
    chosen = Assumptions(seed_sd=1.0)
    assert planned_effect([5000], many, assumptions=chosen, comparisons=12) <= 2.0
    assert planned_effect([5000], many - 1, assumptions=chosen, comparisons=12) > 2.0


def test_seeds_cannot_resolve_what_the_items_hide() -> None:
    parts = planned_components([50], 3, Assumptions(stable_share=1.0))
    assert seeds_needed(parts, 3, 1.0) is None
    assert seeds_needed(planned_components([50], 1, Assumptions()), 1, 1.0) is None
