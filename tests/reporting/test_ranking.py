"""How far an order of cells can be trusted: ranks, pairs, benchmarks, and the figures of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ablate.reporting.figures.profiles import draw_profiles
from ablate.reporting.figures.ranking import RankRows, draw_ranks
from ablate.reporting.findings import Findings, analyse
from ablate.reporting.ranking import Benchmarks, benchmarks_of, pooled_noise, ranking_of
from ablate.reporting.ranking_figures import critical_difference, performance_profile, ranks
from ablate.reporting.ranking_tables import benchmark_table, pair_matrix, ranking_table
from ablate.reporting.records import StudyRecord
from ablate.reporting.sections.ranking import section
from ablate.spec.analysis import Analysis


@pytest.fixture(scope="module")
def grid(grid_study: StudyRecord) -> Findings:
    return analyse(grid_study)


def hand_made(*runs: list[list[float]]) -> Benchmarks:
    cells = tuple("abcdefgh"[: len(runs)])
    names = tuple(f"b{place}" for place in range(len(runs[0][0])))
    return Benchmarks(names, cells, tuple(np.array(rows) for rows in runs))


def test_cells_stand_by_score_with_the_ranks_they_may_have(grid: Findings) -> None:
    ranking = ranking_of(grid)
    assert ranking is not None and ranking_of(grid) is ranking
    scores = [
        np.mean(list(grid.evidence.values(cell, "average").values())) for cell in ranking.cells
    ]
    assert scores == sorted(scores, reverse=True) and len(scores) == 9
    assert ranking.cells[-1] == "base" and ranking.best[0] and not ranking.best[-1]
    assert ranking.chances.sum(axis=1) == pytest.approx(np.ones(9))
    low, high = ranking.interval(0)
    assert low == 1 and ranking.chances[0, low - 1 : high].sum() >= 0.95
    assert list(ranking.mean_ranks) == sorted(ranking.mean_ranks)


def test_the_table_of_ranks_and_the_matrix_of_pairs_agree(grid: Findings) -> None:
    table, matrix = ranking_table(grid), pair_matrix(grid)
    assert table is not None and matrix is not None
    band = {row[0].text: row[5].text == "● yes" for row in table.rows}
    first = matrix.rows[0]
    for number, row in enumerate(matrix.rows):
        name = row[0].text.removeprefix(f"{number + 1}. ")
        if number:
            assert band[name] == ("*" not in first[number + 1].text)
        assert row[number + 1].text == ""
    # Antisymmetric, unrounded, and with each other's record.
    one, other = matrix.rows[0][2], matrix.rows[1][1]
    assert one.sort == pytest.approx(-(other.sort or 0.0))
    assert one.sub.split(";")[0].split("–") == other.sub.split(";")[0].split("–")[::-1]


def test_wins_over_benchmarks_are_counted(grid: Findings) -> None:
    over = hand_made([[3.0, 1.0, 2.0]], [[1.0, 1.0, 4.0]])
    assert over.record(0, 1) == (1, 1, 1)
    found = benchmarks_of(grid)
    assert found is not None and set(found.names) == set(grid.evidence.categories)
    table = ranking_table(grid)
    assert table is not None
    best = [int(row[6].text.split(" of ")[0]) for row in table.rows]
    assert sum(best) >= 6 and table.columns[6] == "best on"
    baseline = next(row for row in table.rows if row[0].text == "SFT")
    assert baseline[8].hint == "the baseline itself"


def test_a_strength_is_of_wins_over_benchmarks_and_who_never_wins_has_none() -> None:
    # Of two benchmarks a wins one and a half, b a half: log 3 apart. c loses all.
    over = hand_made([[9.0, 5.0]], [[3.0, 5.0]], [[1.0, 1.0]])
    assert over.strengths[0] - over.strengths[1] == pytest.approx(np.log(3))
    assert over.strengths[:2].sum() == pytest.approx(0) and np.isnan(over.strengths[2])
    assert np.isnan(hand_made([[2.0, 2.0]], [[1.0, 1.0]]).strengths).all()


def test_noise_is_pooled_over_cells_without_their_differences() -> None:
    # Variances 2 and 8 around means 10 and 20: pooled 5.
    runs = [np.array([[9.0], [11.0]]), np.array([[18.0], [22.0]]), np.array([[99.0]])]
    found = pooled_noise(runs, 0)
    assert found.mean() == pytest.approx(15) and found.std() == pytest.approx(np.sqrt(5))
    assert len(pooled_noise([np.array([[1.0]])], 0)) == 0


def test_every_benchmark_shows_signal_over_noise(
    grid: Findings, one_seed_study: StudyRecord
) -> None:
    table = benchmark_table(grid)
    assert table is not None and len(table.rows) == 6
    for row in table.rows:
        assert (
            row[2].sort and row[3].sort and row[4].sort == pytest.approx(row[2].sort / row[3].sort)
        )
    assert benchmark_table(analyse(one_seed_study)) is None  # No spread over seeds to hold it to.


def test_two_cells_and_a_metric_without_direction_have_no_ranking(
    grid_study: StudyRecord,
) -> None:
    neutral = replace(grid_study, analysis=Analysis(primary="kl_per_sequence_nats"))
    assert ranking_of(analyse(neutral)) is None
    few = [c for c in grid_study.cells if c in ("SFT", "base")]
    two = replace(
        grid_study, cells=tuple(few), runs=tuple(r for r in grid_study.runs if r.cell in few)
    )
    assert ranking_of(analyse(two)) is None and section(analyse(two)).text == ()


def test_the_page_says_who_may_be_the_best(grid: Findings) -> None:
    ranking = ranking_of(grid)
    assert ranking is not None
    (said,) = section(grid).text
    assert said.startswith(f"{ranking.cells[0]} has the best Average, but ")
    for cell, best in zip(ranking.cells[1:], ranking.best[1:], strict=True):
        assert (cell in said) == best


def test_six_categories_have_average_ranks_but_no_profile(grid: Findings) -> None:
    drawn = critical_difference(grid)
    assert drawn is not None and "6 benchmarks" in drawn.caption
    assert "Nemenyi" in drawn.caption and "base 9.00" in drawn.alt
    assert performance_profile(grid) is None


def test_the_figure_of_ranks_names_the_band_and_its_draws(grid: Findings) -> None:
    drawn = ranks(grid)
    assert drawn is not None and "4,000 joint redraws" in drawn.caption
    assert "over 3 seeds as known" in drawn.caption
    assert "● ppo ai-fine" in drawn.svg.decode()


def test_many_ranks_are_lines_and_names_are_never_formulas() -> None:
    chances = np.full((20, 20), 1 / 20)
    rows = RankRows([f"$a{n}$ <i>" for n in range(20)], chances, [True] * 20, [(1, 20)] * 20)
    assert not rows.are_written
    drawn = draw_ranks(rows, "ranks", title="t", caption="c")
    assert "● $a0$ &lt;i&gt;" in drawn.svg.decode()


def test_a_profile_has_a_line_and_a_name_for_every_cell() -> None:
    at = np.linspace(0, 100, 11)
    shares = {"$x$ one": np.linspace(1, 0, 11), "two": (at < 50).astype(float)}
    drawn = draw_profiles(at, shares, "p", title="t", caption="c")
    assert "$x$ one" in drawn.svg.decode()
    assert (
        drawn.alt == "$x$ one: half of the results above 50 %; two: half of the results above 40 %"
    )
