"""The map of cells by tasks: its numbers are effect rows, its marks are verdicts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ablate.reporting.figures.heatmap import Column, Heat, Square, draw_heatmap
from ablate.reporting.figures.style import drawn_in
from ablate.reporting.findings import Findings, analyse
from ablate.reporting.heatmap import columns_of, effects_on, heat_of, heatmap, heatmap_steps
from ablate.reporting.records import StudyRecord
from ablate.stats.verdicts import Verdict

from . import builders, suite_builders


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return analyse(suite_builders.small_suite(tmp_path_factory.mktemp("heat")))


def test_every_square_is_its_effect_row(grid_study: StudyRecord) -> None:
    found = analyse(grid_study)
    heat = heat_of(found)
    assert heat is not None
    metrics = [metric.metric for metric, _ in columns_of(found)]
    assert metrics == [*builders.CATEGORIES, "average"]
    for (row, column), square in heat.squares.items():
        effect = found.rows("baseline", metrics[column])[row]
        assert square.value == effect.effect.value and square.verdict is effect.verdict
        decided = effect.verdict in (Verdict.BETTER, Verdict.WORSE)
        assert square.evidence == pytest.approx(1 if decided else 1 - effect.p_adjusted)


def test_tasks_stand_under_their_category_and_have_effects_of_their_own(suite: Findings) -> None:
    heat = heat_of(suite)
    assert heat is not None
    titles = [column.title for column in heat.columns]
    assert titles[:3] == ["Factuality", "MMLU", "Reasoning"] or titles[0] == "Factuality"
    assert titles[-1] == "Average (primary)" and "GSM8K" in titles and "ToxiGen ↓" in titles
    assert "MT-Bench" not in " ".join(titles)  # Points of 1 to 10 are no percentage.
    rows = effects_on(suite, ["gsm8k", "bbh"], "baseline")
    assert {metric for _, _, metric in rows} >= {"gsm8k", "bbh"}
    place = titles.index("BBH")
    assert heat.squares[0, place].value == rows["DPO", "SFT", "bbh"].effect.value


def test_where_less_is_better_the_sign_of_the_colour_is_turned(suite: Findings) -> None:
    """ToxiGen falls by 20 points in DPO: the number is negative and the colour that of better."""
    heat = heat_of(suite)
    assert heat is not None
    place = [column.title for column in heat.columns].index("ToxiGen ↓")
    square = heat.squares[0, place]
    assert square.value < 0 < square.good == -square.value


def test_an_invalid_or_missing_cell_is_blank_with_its_reason(
    suite: Findings, grid_study: StudyRecord
) -> None:
    heat = heat_of(suite)
    assert heat is not None
    assert {heat.squares[1, c].reason for c in range(len(heat.columns))} == {"invalid"}
    study = grid_study
    for seed in range(3):
        study = builders.unfinished(study, "ppo ai-fine", seed, "failed: out of memory")
    study = builders.unfinished(study, "dpo ai-fine", 0, "not run")
    partial = heat_of(analyse(study))
    assert partial is not None
    last = partial.rows.index("ppo ai-fine")
    assert {partial.squares[last, c].reason for c in range(7)} == {"failed"}


def test_means_are_of_what_is_shown_and_steps_have_none(ladder_study: StudyRecord) -> None:
    found = analyse(ladder_study)
    heat, steps = heat_of(found), heat_of(found, "step")
    assert heat is not None and steps is not None
    first = [heat.squares[row, 0].value for row in range(len(heat.rows))]
    assert heat.column_means[0] == pytest.approx(sum(first) / len(first))
    assert steps.column_means == () and heat.row_means == ()


def test_one_seed_is_in_parentheses_and_says_so(one_seed_study: StudyRecord) -> None:
    found = analyse(one_seed_study)
    drawing = heatmap(found)
    assert drawing is not None
    assert "in parentheses: no interval over seeds" in drawing.caption
    heat = heat_of(found)
    assert heat is not None
    assert not any(square.has_interval for square in heat.squares.values())
    assert "(+" in drawing.svg.decode() and "▲" not in drawing.svg.decode()


def test_nothing_to_compare_draws_nothing(grid_study: StudyRecord) -> None:
    alone = replace(grid_study, cells=("SFT",), runs=grid_study.runs_of("SFT"))
    assert heatmap(analyse(alone)) is None
    assert heatmap_steps(analyse(grid_study)) is None


def _heat(rows: int, columns: int, value: float, verdict: Verdict = Verdict.BETTER) -> Heat:
    square = Square(value, value, verdict, 1.0, True)
    return Heat(
        rows=tuple(f"cell {row}" for row in range(rows)),
        columns=tuple(Column(f"task {c}", is_apart=c == columns - 1) for c in range(columns)),
        squares={(r, c): square for r in range(rows) for c in range(columns)},
    )


def test_colours_end_at_the_90th_percentile_in_half_points() -> None:
    """Of 1, 2, ..., 10 that is 9.1, so 9.5; where all are 0 it is half a point."""
    heat = _heat(1, 10, 0.0)
    squares = {key: replace(square, good=key[1] + 1.0) for key, square in heat.squares.items()}
    assert replace(heat, squares=squares).limit == 9.5
    assert heat.limit == 0.5
    assert replace(heat, squares={}).limit == 1.0


@pytest.mark.parametrize("value", [0.0, -250.0])
def test_flat_and_extreme_maps_are_drawn(value: float) -> None:
    drawing = draw_heatmap(_heat(1, 2, value), "heat", title="t", caption="c")
    assert drawing.svg and not drawing.pages


def test_a_map_of_nothing_known_says_why() -> None:
    nan = math.nan
    blank = Square(nan, nan, Verdict.INVALID, 0.0, False, "not run")
    heat = replace(_heat(1, 2, 0.0), squares={(0, 0): blank, (0, 1): blank})
    assert "not run" in draw_heatmap(heat, "heat", title="t", caption="c").alt


def test_rows_of_a_long_map_stand_on_further_pages() -> None:
    with drawn_in("slides"):
        drawing = draw_heatmap(_heat(17, 2, 2.0), "heat", title="t", caption="c")
    names = [drawing.name, *(page.name for page in drawing.pages)]
    assert names == ["heat", "heat-2"]
    assert "cell 16" in drawing.pages[-1].svg.decode()


def test_untrusted_names_stay_text() -> None:
    heat = replace(_heat(1, 2, 1.0), rows=("<script>alert(1)</script> $\\frac$",))
    svg = draw_heatmap(heat, "heat", title="t", caption="c").svg.decode()
    assert "<script>" not in svg and "$\\frac$" in svg
