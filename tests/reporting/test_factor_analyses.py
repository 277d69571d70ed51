"""Main effects of studies: which cells are a grid, what is left out, and what the page says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import ablate
from ablate.reporting.factor_figures import interactions, main_effects
from ablate.reporting.factor_tables import level_table, metric_table, term_table, variance_table
from ablate.reporting.factorial import factor_analyses, main_analysis
from ablate.reporting.findings import Findings, analyse
from ablate.reporting.grids import grids_of
from ablate.reporting.records import RunRecord, StudyRecord
from ablate.reporting.sections.factorial import section
from ablate.spec.analysis import Analysis
from ablate.stats.factorial import ErrorTerm

from . import builders


def bare(cells: dict[str, dict[str, str]], kind: str = "policy", **changes: object) -> StudyRecord:
    """A study of which only the cells are known."""
    runs = tuple(
        RunRecord(name, levels, 0, name, None, kind, None, {}, {}, "not started")  # type: ignore[arg-type]
        for name, levels in cells.items()
    )
    record = StudyRecord(
        *("bare", "", "", None, Analysis(), None, "grid", tuple(cells), runs, "", "", {}, ()),
    )
    return replace(record, **changes)  # type: ignore[arg-type]


NESTED = {
    f"{algorithm} {data} {size}".strip(): {
        "dataset": data,
        "algorithm": algorithm,
        **({"reward_model.size": size} if size else {}),
    }
    for data in ("web", "human")
    for algorithm, size in (("dpo", ""), ("ppo", "small"), ("ppo", "large"))
}
"""Only PPO has a reward model."""


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    fakes = [builders.Fake("SFT", {}, 0.0, kind="sft", kl_coef=None)]
    fakes += [
        builders.Fake(name, levels, 0.5 * ("human" in name) + 0.4 * ("large" in name))
        for name, levels in NESTED.items()
    ]
    root = tmp_path_factory.mktemp("nested")
    return analyse(builders.study_of(root, fakes, builders.Size(seeds=3, items=32)))


def test_a_factor_of_one_algorithm_makes_grids_of_its_own() -> None:
    grids = grids_of(bare(NESTED))
    assert [grid.title for grid in grids] == [
        "dataset × algorithm (reward_model.size = small)",
        "dataset × algorithm (reward_model.size = large)",
        "dataset × reward_model.size",
    ]
    assert set(grids[0].cells.values()) == {
        *("dpo web", "ppo web small", "dpo human", "ppo human small")
    }
    assert set(grids[2].cells) == {
        *(("web", "small"), ("web", "large"), ("human", "small"), ("human", "large"))
    }


def test_starting_points_ladders_and_published_rows_are_in_no_grid_of_own_cells() -> None:
    assert grids_of(bare(NESTED, design="ladder")) == ()
    assert grids_of(bare(NESTED, kind="sft")) == ()
    own, published = bare(NESTED), bare({f"p {k}": v for k, v in NESTED.items()}, "imported")
    both = replace(own, cells=own.cells + published.cells, runs=own.runs + published.runs)
    for grid in grids_of(both):
        assert len({name.startswith("p ") for name in grid.cells.values()}) == 1
    assert len(grids_of(both)) == 2 * len(grids_of(own))


def test_levels_that_change_together_are_one_factor() -> None:
    kinds = {"web": "noisy", "human": "clean"}
    cells = {name: {**levels, "kind": kinds[levels["dataset"]]} for name, levels in NESTED.items()}
    for grid in grids_of(bare(cells)):
        assert grid.follows == {"kind": "dataset"} and "kind" not in grid.factors
    one_at_a_time = {
        "a": {"x": "1", "y": "1"},
        "b": {"x": "2", "y": "1"},
        "c": {"x": "1", "y": "2"},
    }
    (grid,) = grids_of(bare(one_at_a_time))
    assert len(grid.cells) == 3  # The hole shows only once there are results.


def test_every_nested_grid_is_analysed_on_the_runs_of_its_own_cells(nested: Findings) -> None:
    analyses = factor_analyses(nested)
    assert [len(one.cells) for one in analyses] == [4, 4, 4]
    large = analyses[1]
    assert large.grid.held == {"reward_model.size": "large"}
    found = {level.level: level.mean.value for level in large.result.means}
    scores = [nested.evidence.values(f"ppo {d} large", "average") for d in ("web", "human")]
    means = [sum(one.values()) / 3 for one in scores]
    assert found["ppo"] == pytest.approx(sum(means) / 2)
    assert large.result.error is ErrorTerm.RUNS_AND_ITEMS and large.result.runs == 12
    assert factor_analyses(nested) is analyses  # One analysis for tables, figures and text.


def test_a_hole_takes_its_level_along_and_is_named(grid_study: StudyRecord) -> None:
    found = analyse(grid_study)
    one = main_analysis(found)
    assert one is not None and len(one.cells) == 6
    assert one.left_out == (
        "Not in the analysis: 1 (dpo web-narrow); not every combination of their levels with the"
        " others has a result.",
    )
    table = level_table(found)
    assert table is not None and table.notes[1:] == one.left_out
    assert [group.title for group in table.groups] == ["dataset", "algorithm"]
    first, second = table.rows[-2:]
    assert (
        first[2].text == "–" and second[2].text.startswith("+") and second[2].low < second[2].high
    )


def test_runs_without_a_score_are_named(grid_study: StudyRecord) -> None:
    runs = tuple(
        replace(run, artifacts={}, missing="failed: out of memory")
        if run.cell == "ppo ai-fine" and run.seed > 0 or run.cell == "dpo ai-overall"
        else run
        for run in grid_study.runs
    )
    one = main_analysis(analyse(replace(grid_study, runs=runs)))
    assert one is not None and "ppo ai-fine" in one.cells
    assert one.left_out[0] == "Without a result: 1 (dpo ai-overall)."
    assert "2 (dpo web-narrow, ppo ai-overall)" in one.left_out[1]
    # One seed is left in all cells, so what items add is not known.
    assert one.result.error is ErrorTerm.RUNS and one.result.runs == 3 * 3 + 1


def test_terms_carry_their_error_and_are_marked_exploratory(nested: Findings) -> None:
    table = term_table(nested)
    assert table is not None and "Exploratory" in table.caption
    assert [group.rows for group in table.groups] == [4, 4, 4]
    last = table.rows[3]
    assert last[0].text == "error" and last[0].sub == "runs within cells, and items × cells"
    assert all(field.hint == "the error itself" for field in last[2:])
    shares = [row[5].sort for row in table.rows[:3]]
    assert sum(share for share in shares if share is not None) == pytest.approx(100)


def test_one_seed_tests_main_effects_against_their_interaction(one_seed_study: StudyRecord) -> None:
    found = analyse(one_seed_study)
    one = main_analysis(found)
    assert one is not None and [term.name for term in one.result.terms] == ["dataset", "algorithm"]
    page = section(found)
    assert "One run a cell" in page.text[1]
    assert variance_table(found) is None
    assert "not tested: it is the error" in page.figures[1].svg.decode()


def test_every_score_has_a_column_of_shares(nested: Findings) -> None:
    table = metric_table(nested)
    assert table is not None and len(table.columns) == 1 + len(nested.evidence.headline)
    for column in range(1, len(table.columns)):
        total = sum(row[column].sort or 0.0 for row in table.rows)
        assert total == pytest.approx(100)


def test_variance_components_need_no_items(nested: Findings) -> None:
    table = variance_table(nested)
    assert table is not None
    assert [row[0].text for row in table.rows] == [
        *("seed (within cells)", "item", "item × cell", "residual (item × seed)")
    ]
    without = replace(nested.study, analysis=Analysis(primary="length_tokens"))
    bare_table = variance_table(analyse(without))
    assert bare_table is not None
    assert [row[0].text for row in bare_table.rows] == ["cell", "seed (within cells)"]


def test_figures_show_every_level_and_repeat_byte_for_byte(nested: Findings) -> None:
    drawn, again = main_effects(nested), main_effects(nested)
    assert drawn is not None and again is not None and drawn.svg == again.svg
    assert drawn.name == "main-effects" and "items × cells" in drawn.caption
    assert all(level in drawn.alt for level in ("web", "human", "dpo", "ppo"))


def test_a_study_without_two_factors_shows_nothing(ladder_study: StudyRecord) -> None:
    found = analyse(ladder_study)
    assert (level_table(found), term_table(found), metric_table(found)) == (None, None, None)
    assert (main_effects(found), interactions(found)) == (None, None)


def test_names_of_studies_are_text_in_every_figure(tmp_path: Path) -> None:
    fakes = [
        builders.Fake(f"{a}{b}", {"x$_{1}$": a, "C(y)": b}, 0.1 * len(a))
        for a in ("<b>", "$\\no$ & co")
        for b in ("1e-6", "β")
    ]
    size = builders.Size(seeds=2, items=16)
    found = analyse(builders.study_of(tmp_path, fakes, size, baseline=None))
    for make in (main_effects, interactions):  # Not as formulas either: \\no is none.
        drawn = make(found)
        assert drawn is not None and "<b>" not in drawn.svg.decode()
        assert ">x$_{1}$ × C(y)<" in drawn.svg.decode() or ">x$_{1}$<" in drawn.svg.decode()


def test_frames_hold_every_grid_and_metric_unrounded(nested: Findings) -> None:
    terms = ablate.factors_frame(nested)
    assert len(terms) == 3 * 3 * len(nested.evidence.headline)
    own = terms[(terms.metric == "average") & (terms.held == "reward_model.size=small")]
    found = factor_analyses(nested)[0].result
    assert list(own.term) == ["dataset", "algorithm", "dataset × algorithm"]
    assert list(own.F) == [term.f_statistic for term in found.terms]
    assert list(own.p) == [term.p_value for term in found.terms]
    assert own.share.sum() == pytest.approx(1)
    levels = ablate.factors_frame(nested, rows="levels")
    first = levels.groupby(["held", "metric", "grid", "factor"]).head(1)
    assert first.difference.isna().all() and levels["mean"].notna().all()


def test_a_study_without_a_grid_has_an_empty_frame(ladder_study: StudyRecord) -> None:
    frame = ablate.factors_frame(ladder_study)
    assert frame.empty and {"term", "df", "F", "p", "share"} <= set(frame.columns)
