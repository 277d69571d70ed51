"""Levels of looks: against published constants, and what may be called when looking."""

from __future__ import annotations

import math
from itertools import accumulate

import numpy as np
import pytest

from ablate.stats.crossed import Arm, crossed_difference
from ablate.stats.estimate import Claim, from_error
from ablate.stats.multiplicity import adjust
from ablate.stats.quantiles import normal_quantile, t_two_sided
from ablate.stats.sequential import (
    Look,
    Looks,
    crossing,
    gaussian_levels,
    obrien_fleming,
    pocock,
    upper_tail,
)
from ablate.stats.verdicts import Verdict, decide, equivalence_p


def equal(looks: int) -> list[float]:
    return [number / looks for number in range(1, looks + 1)]


@pytest.mark.parametrize(
    ("looks", "same", "falling"),
    [(2, 2.178, 1.977), (3, 2.289, 2.004), (4, 2.361, 2.024), (5, 2.413, 2.040)],
)
def test_bounds_of_pocock_and_of_obrien_and_fleming_are_crossed_with_probability_alpha(
    looks: int, same: float, falling: float
) -> None:
    # Two-sided constants at alpha 0.05: C_P of table 2.1 and C_B of table 2.3 of Jennison and
    # Turnbull (2000), printed to 3 digits; one side of them is 0.025. The falling bounds are
    # C_B sqrt(K / k).
    fractions = equal(looks)
    assert crossing([same] * looks, fractions) == pytest.approx(0.025, abs=4e-5)
    bounds = [falling / math.sqrt(fraction) for fraction in fractions]
    assert crossing(bounds, fractions) == pytest.approx(0.025, abs=4e-5)


@pytest.mark.parametrize(
    ("spend", "published"),
    [
        # Lan and DeMets (1983), table 1: bounds for five equal looks at a one-sided 0.025.
        (obrien_fleming, (4.88, 3.36, 2.68, 2.29, 2.03)),
        (pocock, (2.44, 2.43, 2.41, 2.40, 2.39)),
    ],
)
def test_spending_alpha_gives_the_bounds_of_lan_and_demets(spend, published) -> None:
    levels = gaussian_levels(0.025, equal(5), spend)
    assert [round(-normal_quantile(level), 2) for level in levels] == list(published)


def test_one_look_is_no_looking() -> None:
    assert gaussian_levels(0.025, [1.0], pocock)[0] == pytest.approx(0.025, rel=1e-9)


@pytest.mark.parametrize("spend", ["even", "obrien-fleming"])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.0125])
def test_levels_of_looks_add_up_to_alpha(spend, alpha: float) -> None:
    levels = Looks((3, 5, 8), spend).levels(alpha)
    assert min(levels) > 0
    assert sum(levels) == pytest.approx(alpha, rel=1e-12)


def test_levels_are_what_is_spent_from_look_to_look() -> None:
    assert Looks((3, 5, 8)).levels(0.06) == pytest.approx((0.02, 0.02, 0.02))
    # 2 (1 - Phi(2.2414 / sqrt(t))) a side with z_{0.0125} = 2.2414; t = 1/4: 1 - Phi(4.4828)
    # = 3.684e-6; t = 1: 0.025. Twice for two sides: 1.474e-5 and 0.05 less that.
    early, late = Looks((2, 8), "obrien-fleming").levels(0.05)
    assert early == pytest.approx(4 * upper_tail(2.241403 * 2), rel=1e-4)
    assert early + late == pytest.approx(0.05, rel=1e-12)


def test_an_overall_p_value_is_the_alpha_whose_level_is_reached() -> None:
    # Three even looks: p = 0.01 is reached by alpha / 3 = 0.01.
    assert Looks((3, 5, 8)).at(2).overall(0.01) == pytest.approx(0.03, rel=1e-9)
    for number in (1, 2, 3):
        look = Looks((3, 5, 8), "obrien-fleming").at(number)
        for alpha in (1e-6, 0.0125, 0.05, 0.3):
            assert look.overall(look.level(alpha)) == pytest.approx(alpha, rel=1e-6)


@pytest.mark.parametrize("spend", ["even", "obrien-fleming"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_overall_p_values_rise_and_are_never_smaller(spend, number: int) -> None:
    look = Looks((2, 3, 7, 20), spend).at(number)
    p_values = [10**-exponent for exponent in range(12, 0, -1)] + [0.2, 0.3, 0.5, 0.9, 1.0]
    overall = [look.overall(p) for p in p_values]
    assert overall == list(accumulate(overall, max))
    assert all(seen >= p for seen, p in zip(overall, p_values, strict=True))
    assert math.isnan(look.overall(math.nan))
    assert overall[-1] == 1.0


def looked(value: float, look: Look | None):
    """A difference with standard error 1 and 10 degrees of freedom."""
    effect = from_error(value, 1.0, degrees=10.0, sizes=(100, 3), claim=Claim.RECIPE)
    return effect if look is None else effect.at(look)


def test_p_interval_and_verdict_of_a_look_agree() -> None:
    # At the second of three even looks the level is 0.05 / 3: t_{1 - 0.05/6, 10} = 2.8701.
    look = Looks((3, 5, 8)).at(2)
    half = looked(0.0, look).high
    assert t_two_sided(half, 10.0) == pytest.approx(0.05 / 3, rel=1e-9)
    for value, called in ((half * 1.001, Verdict.BETTER), (half * 0.999, Verdict.INCONCLUSIVE)):
        effect = looked(value, look)
        assert (effect.low > 0) == (called is Verdict.BETTER)
        assert decide(effect, effect.p_value, margin=0.1) is called
    assert decide(looked(half * 0.999, None), 0.02, margin=0.1) is Verdict.BETTER


def test_equivalence_has_the_interval_of_its_look() -> None:
    # 90 % of three even looks: each 0.1 / 3, so ± t_{1 - 0.1/6, 10} = 2.46 around 0.
    look = Looks((3, 5, 8)).at(1)
    effect = looked(0.0, look)
    (_, half) = effect.bounds(0.9)
    assert t_two_sided(half, 10.0) == pytest.approx(0.1 / 3, rel=1e-9)
    for margin, verdict in ((half * 1.001, "equivalent"), (half * 0.999, "inconclusive")):
        assert decide(effect, effect.p_value, margin=margin) == verdict
        assert (equivalence_p(effect, margin) < 0.05) == (verdict == "equivalent")


LOOKS = Looks((3, 5, 8))


def ended(p_values: np.ndarray) -> np.ndarray:
    """Overall p at the look where each of (K, m) comparisons ended, under Holm within studies."""
    final = np.ones(p_values.shape[1])
    going = np.ones(p_values.shape[1], bool)
    for number, row in enumerate(p_values, 1):
        for index in np.flatnonzero(going):
            final[index] = LOOKS.at(number).overall(float(row[index]))
        going &= np.array(adjust(list(final), "holm")) >= 0.05
    return final


def test_holm_over_comparisons_that_stop_at_different_looks_keeps_alpha() -> None:
    """Four true nulls that share a control, the worst case: exact t, no items, one look's excess.

    Differences d_s of each seed are normal; their one-sample t at 3, 5 and 8 seeds have exact
    levels, so Boole's bound holds with equality up to overlap and nothing else hides an error.
    """
    rng = np.random.default_rng(20)
    studies, called = 1500, 0
    draws = rng.normal(size=(studies, 4, 8)) + rng.normal(size=(studies, 1, 8))
    p_values = np.empty((len(LOOKS.counts), studies, 4))
    for place, count in enumerate(LOOKS.counts):
        part = draws[..., :count]
        t = part.mean(-1) / (part.std(-1, ddof=1) / math.sqrt(count))
        p_values[place] = np.vectorize(t_two_sided)(t, count - 1.0)
    for study in range(studies):
        final = ended(p_values[:, study])
        called += min(adjust(list(final), "holm")) < 0.05
    # 0.05 + 3 standard errors at 1,500 studies = 0.067; looking without levels calls more than
    # twice as much, which the same draws show.
    assert called / studies < 0.067
    naive = (p_values.min(axis=0).min(axis=1) < 0.05 / 4).mean()
    assert naive > 0.067


def test_a_study_ended_by_looks_calls_no_more_than_alpha_of_crossed_intervals() -> None:
    """A/A: two recipes alike, 60 right-or-wrong items, seeds of SD 0.3 log-odds."""
    rng = np.random.default_rng(4)
    studies, called = 600, 0
    for _ in range(studies):
        difficulty = rng.normal(0, 2, 60)
        arms = []
        for _ in range(2):
            odds = difficulty + rng.normal(0, 0.6, 60) + rng.normal(0, 0.3, (8, 1))
            arms.append((rng.random((8, 60)) < 1 / (1 + np.exp(-odds))).astype(float))
        for number, count in enumerate(LOOKS.counts, 1):
            sides = [Arm({"": rows[:count]}, {"": 1.0}) for rows in arms]
            effect = crossed_difference(*sides).at(LOOKS.at(number))
            if effect.p_value < 0.05:
                called += 1
                break
    assert called / studies < 0.05
