"""Published values of rank tests, pairwise ratings and agreement; each test names its source."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ablate.stats.agreement import Scale, krippendorff_alpha
from ablate.stats.friedman import cliques, friedman
from ablate.stats.pairwise_ratings import bradley_terry, elo

NAN = math.nan
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.0, 1.0, 1.0, 1.0],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.978, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)
"""Table 6 of Demsar (2006): AUC of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets."""

BASEBALL = [
    [0, 7, 9, 7, 7, 9, 11],
    [6, 0, 7, 5, 11, 9, 9],
    [4, 6, 0, 7, 7, 8, 12],
    [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12],
    [4, 4, 5, 6, 6, 0, 6],
    [2, 4, 1, 3, 1, 7, 0],
]
"""Wins of the American League's East in 1987 (Agresti), Milwaukee to Baltimore."""

RATINGS = [
    *([1, 1, NAN, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4]),
    *([4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [NAN, 5, 5, 5], [NAN, NAN, 1, 1]),
]
"""Four raters of eleven units, as in the README of evalica."""


def test_ranks_and_tests_of_demsar_2006() -> None:
    found = friedman(DEMSAR)
    assert found.ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert found.chi_square == pytest.approx(9.28, abs=5e-3)
    assert found.f_statistic == pytest.approx(3.69, abs=5e-3)
    assert found.p_value < 0.05
    assert found.critical_difference(0.05) == pytest.approx(1.25, abs=5e-3)
    assert found.critical_difference(0.10) == pytest.approx(1.12, abs=5e-3)


def test_the_ranks_are_not_scipys_tie_corrected_test() -> None:
    assert stats.friedmanchisquare(*DEMSAR.T).statistic == pytest.approx(10.228, abs=1e-3)


def test_wilcoxons_signed_ranks_of_demsar_2006_split_the_zeros() -> None:
    found = stats.wilcoxon(DEMSAR[:, 0], DEMSAR[:, 1], zero_method="zsplit")
    assert found.statistic == 12


def test_groups_that_a_critical_difference_does_not_tell_apart() -> None:
    # Sorted 1, 1.5, 2.2, 4 with a difference of 1: 1 to 1.5, then 1.5 to 2.2, and 4 alone.
    assert cliques([2.2, 1.0, 4.0, 1.5], 1.0) == [(1, 3), (3, 0)]
    assert cliques([1.0, 2.0, 3.0], 5.0) == [(0, 1, 2)]
    # Two ranks exactly the difference apart differ.
    assert cliques([1.0, 2.0], 1.0) == []


def test_benchmarks_that_all_agree_leave_no_error() -> None:
    found = friedman([[3, 2, 1]] * 5)
    assert found.ranks == pytest.approx([1, 2, 3])
    assert found.chi_square == pytest.approx(10) and found.p_value == 0.0


@pytest.mark.parametrize("bad", [[[1.0, 2.0]], [[1.0], [2.0]], [[1.0, NAN], [1.0, 2.0]]])
def test_a_table_that_cannot_be_ranked_is_refused(bad: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="two benchmarks and two cells"):
        friedman(bad)


def test_a_true_null_is_rejected_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    rejected = [friedman(rng.normal(size=(10, 4))).p_value < 0.05 for _ in range(1000)]
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.021)


def test_bradley_terry_of_agrestis_baseball() -> None:
    expected = [1.581, 1.436, 1.294, 1.248, 1.108, 0.684, 0.0]
    assert bradley_terry(BASEBALL) == pytest.approx(expected, abs=6e-4)


def test_two_players_are_apart_by_the_logit_of_their_games() -> None:
    assert bradley_terry([[0, 3], [1, 0]]) == pytest.approx([math.log(3), 0])
    assert bradley_terry([[7, 3], [1, 9]]) == pytest.approx([math.log(3), 0])  # None plays itself.


def test_who_never_lost_has_no_finite_strength() -> None:
    assert np.isnan(bradley_terry([[0, 2, 2], [0, 0, 1], [0, 1, 0]])).all()
    with pytest.raises(ValueError, match="square table"):
        bradley_terry([[0, 1]])


def test_elo_of_evalicas_readme_depends_on_the_order() -> None:
    games = [("pizza", "burger", 1.0), ("sushi", "burger", 1.0), ("pizza", "sushi", 0.5)]
    found = elo(games)
    expected = {"pizza": 1014.972, "burger": 970.647, "sushi": 1014.381}
    assert found == pytest.approx(expected, abs=5e-4)
    assert elo(games[::-1])["pizza"] != pytest.approx(found["pizza"], abs=1e-3)


@pytest.mark.parametrize(
    ("scale", "expected"), [("nominal", 0.743421), ("ordinal", 0.815388), ("interval", 0.849107)]
)
def test_krippendorffs_alpha_of_evalicas_readme(scale: Scale, expected: float) -> None:
    assert krippendorff_alpha(RATINGS, scale) == pytest.approx(expected, abs=1e-6)


def test_agreement_is_1_when_all_agree_and_undefined_without_a_choice() -> None:
    assert krippendorff_alpha([[0, 0], [1, 1]]) == 1
    assert math.isnan(krippendorff_alpha([[1, 1], [1, 1]]))
    assert math.isnan(krippendorff_alpha([[1, NAN], [0]]))
    with pytest.raises(ValueError, match="'ratio' is not one of interval, nominal, ordinal"):
        krippendorff_alpha([[0, 1]], "ratio")  # type: ignore[arg-type]


def test_raters_at_random_agree_as_chance_does() -> None:
    rng = np.random.default_rng(1)
    for scale in ("nominal", "ordinal", "interval"):
        found = krippendorff_alpha(rng.integers(0, 3, (4000, 2)).tolist(), scale)  # type: ignore[arg-type]
        assert found == pytest.approx(0, abs=0.05)
