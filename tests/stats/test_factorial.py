"""Main effects and interactions: by hand, against statsmodels, and at their stated error rates."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from ablate.stats.blocks import complete_block, followers
from ablate.stats.components import item_spread, run_variance
from ablate.stats.crossed import Arm, crossed_difference
from ablate.stats.estimate import FloatArray
from ablate.stats.factorial import ErrorTerm, factorial, marginal_means

SQUARE = {
    ("low", "dpo"): [1.0, 3.0],
    ("low", "ppo"): [2.0, 4.0],
    ("high", "dpo"): [5.0, 7.0],
    ("high", "ppo"): [10.0, 12.0],
}
"""Cell means 2, 3, 6 and 11 around 5.5; every run is 1 from its cell's mean."""


def test_a_two_by_two_by_hand() -> None:
    # Means 2.5 and 8.5, 4 and 7; the interaction is (11 - 6 - 3 + 2) / 4 = 1. Eight runs, each
    # squared coefficient counted eight times; four cells leave 2 each over 4 degrees.
    found = factorial(SQUARE, ("beta", "algorithm"))
    assert found.error is ErrorTerm.RUNS and found.runs == 8
    assert (found.error_variance, found.error_degrees) == pytest.approx((2, 4))
    assert [term.name for term in found.terms] == ["beta", "algorithm", "beta × algorithm"]
    assert [term.sum_of_squares for term in found.terms] == pytest.approx([72, 18, 8])
    assert [term.f_statistic for term in found.terms] == pytest.approx([36, 9, 4])
    assert [term.share for term in found.terms] == pytest.approx([72 / 98, 18 / 98, 8 / 98])
    assert found.terms[0].partial_eta_squared == pytest.approx(72 / 80)
    # F of (1, 4) degrees is t of 4, squared; 2.776 is its two-sided 5 % point.
    assert found.terms[1].p_value < 0.05 < found.terms[2].p_value


def test_marginal_means_count_each_cell_alike() -> None:
    found = factorial(SQUARE, ("beta", "algorithm"))
    assert [level.mean.value for level in found.means] == pytest.approx([2.5, 8.5, 4, 7])
    first, second = found.means[2:]
    assert math.isnan(first.difference.value) and second.difference.value == pytest.approx(3)
    # Four runs a level: the root of 2 / 4 for a mean, of 2 * 2 / 4 for a difference, t(4) = 2.776.
    assert second.mean.standard_error == pytest.approx(math.sqrt(1 / 2))
    assert second.difference.high - 3 == pytest.approx(2.776445)
    assert second.difference.p_value == pytest.approx(found.terms[1].p_value)
    cells = marginal_means(found, ("algorithm", "beta"))
    assert cells["ppo", "low"].value == 3
    assert cells["ppo", "low"].standard_error == pytest.approx(1)
    swapped = marginal_means(found, ("algorithm",))
    assert swapped[("dpo",)] == first.mean


def test_a_missing_seed_weighs_its_cell_no_less() -> None:
    lame = {**SQUARE, ("high", "ppo"): [10.0]}
    found = factorial(lame, ("beta", "algorithm"))
    assert found.means[1].mean.value == pytest.approx(8)  # (6 + 10) / 2, not (5 + 7 + 10) / 3
    assert found.means[1].mean.standard_error == pytest.approx(math.sqrt(2 * (1 / 2 + 1) / 4))


@pytest.mark.parametrize("shape", [(2, 3), (3, 2, 4), (2, 2, 2, 2)])
@pytest.mark.parametrize("runs", [(3, 3), (1, 4)])
def test_sums_of_squares_are_statsmodels_type_ii(
    shape: tuple[int, ...], runs: tuple[int, int]
) -> None:
    rng = np.random.default_rng(sum(shape))
    cells = {
        tuple(f"l{i}" for i in cell): rng.normal(cell[0], 1, rng.integers(*runs, endpoint=True))
        for cell in product(*map(range, shape))
    }
    names = "abcd"[: len(shape)]
    frame = pd.DataFrame(
        [
            {**dict(zip(names, cell, strict=True)), "y": y}
            for cell, scores in cells.items()
            for y in scores
        ]
    )
    theirs = anova_lm(ols(f"y ~ {'*'.join(f'C({n}, Sum)' for n in names)}", frame).fit(), typ=2)
    found = factorial({cell: list(ys) for cell, ys in cells.items()}, tuple(names))
    assert found.error_degrees == theirs.df["Residual"]
    assert found.error_variance == pytest.approx(theirs.sum_sq["Residual"] / found.error_degrees)
    for term in found.terms:
        line = theirs.loc[":".join(f"C({name}, Sum)" for name in term.factors)]
        assert term.degrees == line.df
        assert term.sum_of_squares == pytest.approx(line.sum_sq)
        assert (term.f_statistic, term.p_value) == pytest.approx((line.F, line["PR(>F)"]))


def test_one_run_a_cell_leaves_the_highest_interaction_as_the_error() -> None:
    rng = np.random.default_rng(3)
    cells = {cell: [rng.normal()] for cell in product("ab", "cde", "fg")}
    found = factorial(cells, ("x", "y", "z"))
    assert found.error is ErrorTerm.INTERACTION and found.error_degrees == 1 * 2 * 1
    assert found.error_name == "the interaction of highest order (x × y × z)"
    assert [len(term.factors) for term in found.terms] == [1, 1, 1, 2, 2, 2]
    total = np.var([score for (score,) in cells.values()]) * 12
    squares = sum(term.sum_of_squares for term in found.terms)
    assert squares + 2 * found.error_variance == pytest.approx(total)
    assert sum(term.share for term in found.terms) < 1


def test_names_are_never_read_as_a_formula() -> None:
    wild = ("reward_model.size", "a + b ~ __import__('os')")
    levels = (("C(x0)", "1e-6"), ("':', \"", "β → \u2028"))
    cells = {cell: scores for cell, scores in zip(product(*levels), SQUARE.values(), strict=True)}
    found = factorial(cells, wild)
    assert [term.sum_of_squares for term in found.terms] == pytest.approx([72, 18, 8])
    assert tuple(found.levels) == wild and found.terms[2].name == " × ".join(wild)


def test_equal_runs_leave_no_error_and_no_test() -> None:
    found = factorial({cell: [scores[0]] * 2 for cell, scores in SQUARE.items()}, ("x", "y"))
    assert found.error is ErrorTerm.NONE
    assert all(math.isnan(term.p_value) for term in found.terms)
    assert not found.means[0].mean.defined and found.means[0].mean.value == 1.5


@pytest.mark.parametrize(
    ("cells", "factors", "message"),
    [
        (
            {**SQUARE, ("low", "dpo"): []},
            ("x", "y"),
            r"no run of 1 cells, such as \('low', 'dpo'\)",
        ),
        ({**SQUARE, ("low", "dpo"): [math.nan]}, ("x", "y"), "not finite"),
        ({("a", "c"): [1.0], ("b", "c"): [2.0]}, ("x", "y"), "two factors of two levels"),
        ({("a",): [1.0], ("b",): [2.0]}, ("x",), "two factors of two levels"),
    ],
)
def test_what_is_no_full_block_is_refused(
    cells: dict[tuple[str, ...], list[float]], factors: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        factorial(cells, factors)


@pytest.mark.parametrize(("seeds", "studies"), [(3, 700), (1, 500)])
def test_a_null_interaction_is_called_as_often_as_stated(seeds: int, studies: int) -> None:
    """Two factors act, their interaction does not; one run: main effects against no effect."""
    rng = np.random.default_rng(seeds)
    rejected = 0
    for _ in range(studies):
        cells = {
            (str(a), str(b)): list(rng.normal((2 * a + b) * (seeds > 1), 1, seeds))
            for a, b in product(range(2), range(3))
        }
        rejected += factorial(cells, ("x", "y")).terms[-1].p_value < 0.05
    assert rejected / studies == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / studies))


def null_arms(rng: np.random.Generator, *, seed_sd: float) -> dict[tuple[str, str], Arm]:
    """Cells without any effect: items differ, and suit one cell more than another, at random."""
    items = rng.normal(0, 2, 60)
    return {
        (a, b): Arm(
            {
                "all": items
                + rng.normal(0, 2, 60)
                + rng.normal(0, seed_sd, (3, 1))
                + rng.normal(0, 1, (3, 60))
            },
            {"all": 1.0},
        )
        for a, b in product("ab", "cd")
    }


@pytest.mark.parametrize("seed_sd", [0.0, 0.3])
def test_items_that_suit_one_cell_more_are_no_interaction(seed_sd: float) -> None:
    """Runs within cells alone call it far too often; widened by items x cells at most as stated."""
    rng = np.random.default_rng(8)
    alone = widened = 0
    for _ in range(250):
        arms = null_arms(rng, seed_sd=seed_sd)
        cells = {cell: [float(score) for score in arm.seed_scores] for cell, arm in arms.items()}
        spread = item_spread(list(arms.values()))
        alone += factorial(cells, ("x", "y")).terms[2].p_value < 0.05
        found = factorial(cells, ("x", "y"), items=spread)
        assert found.error is ErrorTerm.RUNS_AND_ITEMS
        widened += found.terms[2].p_value < 0.05
    assert widened / 250 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 250)
    assert alone / 250 > 0.12


def test_the_widened_error_is_near_that_of_the_crossed_difference() -> None:
    """Two cells of a block, held against each other both ways."""
    rng = np.random.default_rng(9)
    arms = null_arms(rng, seed_sd=0.3)
    cells = {cell: [float(score) for score in arm.seed_scores] for cell, arm in arms.items()}
    found = factorial(cells, ("x", "y"), items=item_spread(list(arms.values())))
    single = math.sqrt(2 * found.error_variance / 3)
    pairs = [(one, other) for one in arms.values() for other in arms.values() if one is not other]
    errors = [crossed_difference(one, other).standard_error for one, other in pairs]
    assert single == pytest.approx(float(np.mean(errors)), rel=0.15)


def test_run_variance_finds_the_parts_it_was_drawn_from() -> None:
    rng = np.random.default_rng(10)
    parts = np.zeros(4)
    for _ in range(300):
        items = rng.normal(0, 2, 80)
        arms = []
        for _ in range(4):
            suits, shift = rng.normal(0, 1.5, 80), rng.normal(0, 0.5, (3, 1))
            rows = items + suits + shift + rng.normal(0, 1, (3, 80))
            arms.append(Arm({"all": rows}, {"all": 1.0}))
        found = run_variance(arms)
        parts += [found.seed, found.item, found.item_arm, found.residual]
    assert parts / 300 == pytest.approx([0.25, 4 / 80, 2.25 / 80, 1 / 80], rel=0.1)
    assert (found.arms, found.seeds, found.items) == (4, 3, 80)


def test_run_variance_of_an_additive_table_by_hand() -> None:
    # Items 0 and 2, seeds +-1 in both arms, arms 0 and 5: no interaction and no residual. Seeds
    # vary by 2, items by 2 over 2 items.
    rows: FloatArray = np.array([[-1.0, 1.0], [1.0, 3.0]])
    found = run_variance([Arm({"all": r}, {"all": 1.0}) for r in (rows, rows + 5)])
    assert (found.seed, found.item) == pytest.approx((2, 1))
    assert (found.item_arm, found.residual) == pytest.approx((0, 0))


def test_components_need_arms_of_one_shape() -> None:
    rows = np.zeros((2, 4))
    for arms in ([rows], [rows, rows[:1]], [rows[:1], rows[:1]], [rows, rows[:, :3]]):
        with pytest.raises(ValueError, match="two arms at least, on the same items"):
            run_variance([Arm({"all": r}, {"all": 1.0}) for r in arms])


def test_the_largest_block_without_holes_drops_the_level_with_most_of_them() -> None:
    cells = [cell for cell in product("abcd", "pq") if cell != ("b", "q")]
    assert complete_block(cells) == (("a", "c", "d"), ("p", "q"))
    assert complete_block(list(product("ab", "pq"))) == (("a", "b"), ("p", "q"))
    assert complete_block([]) == ()
    # One factor at a time leaves one factor.
    assert sorted(map(len, complete_block([("a", "p"), ("b", "p"), ("a", "q"), ("c", "p")]))) == [
        *(1, 3)
    ]


def test_a_factor_that_follows_from_another_is_found() -> None:
    rows = [("web", "a", "x"), ("web", "b", "x"), ("human", "c", "y"), ("human", "c", "z")]
    cells = [dict(zip(("kind", "data", "other"), row, strict=True)) for row in rows]
    assert followers(cells) == {"kind": "data"}
    twins = [{"one": "a", "two": "p"}, {"one": "b", "two": "q"}]
    assert followers(twins) == {"two": "one"}
    assert followers([{"one": "a", "two": "p"}, {"one": "a", "two": "q"}]) == {}
