from __future__ import annotations

import math
from dataclasses import replace

import pytest
from matplotlib.figure import Figure

import ablate
from ablate.reporting import text
from ablate.reporting.figures.bars import NOT_FINAL, Bars, draw_bars, draw_scores
from ablate.reporting.figures.cumulative import Climb, draw_cumulative
from ablate.reporting.figures.reveal import Step, draw_frames
from ablate.reporting.figures.save import Drawing
from ablate.reporting.figures.style import HATCHES, drawn_in, look
from ablate.reporting.records import StudyRecord
from ablate.reporting.step_figures import step_bars, step_words
from ablate.reporting.study_figures import make_figure
from ablate.stats.verdicts import Verdict

from .drawn import NOTHING, edge_is_free, effect, estimate, font_sizes, inches, words

GROUPS = ("Coding", "Instruction following", "Average")
SERIES = ("Base", "SFT", "+ DPO on the noisy pairs of people")
HEIGHTS = {"Base": (20.0, math.nan, math.nan), "SFT": (30.0, 41.0, 35.5), SERIES[2]: (31, 44, 37.5)}


def bars() -> Bars:
    scores = {
        (series, group): NOTHING if math.isnan(height) else estimate(height, 2.0)
        for series, heights in HEIGHTS.items()
        for group, height in zip(GROUPS, heights, strict=True)
    }
    steps = {
        (SERIES[1], "Coding"): effect("SFT", 10.0, 3.0, verdict=Verdict.BETTER),
        (SERIES[2], "Average"): effect("DPO", 2.0, 2.5),
    }
    return Bars(
        *(GROUPS, SERIES, scores, steps, 1.0, "score (%)", "Δ (points)"),
        not_final=frozenset(SERIES[2:]),
        numbered=True,
    )


@pytest.fixture(scope="module")
def frames() -> tuple[Drawing, ...]:
    titles = ("Base", "SFT", 3 * SERIES[2])
    return draw_frames(bars(), [Step(t, (f"Because of {t[:5]}",), ()) for t in titles], "steps")


def test_bars_are_as_high_as_the_scores() -> None:
    axes = Figure().subplots()
    draw_scores(axes, bars(), revealed=3)
    for container, heights in zip(axes.containers[::2], HEIGHTS.values(), strict=False):
        drawn = [patch.get_height() for patch in container]
        assert drawn == pytest.approx(heights, nan_ok=True)
    assert axes.get_ylim()[0] == 0


@pytest.mark.parametrize("revealed", [1, 2, 3])
def test_a_frame_holds_as_many_series_as_it_has_come_to(revealed: int) -> None:
    axes = Figure().subplots()
    draw_scores(axes, bars(), revealed=revealed)
    assert len(axes.patches) == 3 * revealed
    # The two scores that the base model does not have.
    assert [t.get_text() for t in axes.texts] == ["–", "–"]
    whole = Figure().subplots()
    draw_scores(whole, bars(), revealed=3)
    assert axes.get_ylim() == whole.get_ylim()


def test_every_frame_names_all_series_and_has_the_same_axes(frames: tuple[Drawing, ...]) -> None:
    found = [words(frame.svg) for frame in frames]
    for place, shown in enumerate(found):
        assert {"0  Base", "1  SFT", f"2  {SERIES[2]} *"} <= set(shown)
        assert f"Because of {SERIES[place][:5]}" in shown
    ticks = [[w for w in shown if w.isdecimal()] for shown in found]
    assert ticks[0] == ticks[1] == ticks[2] != []


def test_the_footnote_appears_with_the_first_preliminary_series(
    frames: tuple[Drawing, ...],
) -> None:
    assert [NOT_FINAL in words(frame.svg) for frame in frames] == [False, False, True]


def test_frames_are_slides_and_nothing_is_cut(frames: tuple[Drawing, ...]) -> None:
    assert [frame.name for frame in frames] == ["steps/00", "steps/01", "steps/02"]
    for frame in frames:
        width, height = inches(frame.svg)
        assert width / height == pytest.approx(16 / 9)
        assert edge_is_free(frame)


def test_a_frame_says_what_came_of_its_rung(ladder_study: StudyRecord) -> None:
    notes = {"+ larger reward model": "Expected: better across the board."}
    found = ablate.open_study(replace(ladder_study, notes=notes)).findings
    whole = step_bars(found)
    assert whole is not None and list(whole.series) == list(ladder_study.rungs)
    step = step_words(found, whole, 4)
    assert step.title == "4  + larger reward model"
    assert step.bullets == ("Expected: better across the board.",)
    row = next(r for r in found.rows("step") if r.treatment == "+ larger reward model")
    assert step.outcome[0] == "Against DPO → PPO:"
    assert step.outcome[1].startswith(f"Average {text.effect(row.effect)} {row.verdict.symbol}")


def test_a_study_without_steps_has_no_frames(grid_study: StudyRecord) -> None:
    assert ablate.make_frames(grid_study) == ()
    assert make_figure("cumulative", grid_study) is None


def test_a_rung_without_a_result_keeps_its_place(ladder_study: StudyRecord) -> None:
    runs = tuple(
        replace(run, artifacts={}, missing="not run") if run.cell == "DPO → PPO" else run
        for run in ladder_study.runs
    )
    found = step_bars(ablate.open_study(replace(ladder_study, runs=runs)).findings)
    assert found is not None and found.series == list(ladder_study.rungs)
    assert found.values(3) == [None] * len(found.groups)


@pytest.mark.parametrize("style", ["screen", "paper", "slides"])
def test_the_chart_is_whole_and_readable_in_every_style(style: str) -> None:
    with drawn_in(style):
        drawn = draw_bars(bars(), "b", title="T", caption="")
    assert edge_is_free(drawn) and min(font_sizes(drawn.svg)) >= 6
    assert {"▲ better", "? inconclusive"} <= set(words(drawn.svg))
    if style == "paper":
        assert inches(drawn.svg)[0] == pytest.approx(6.75)
    if style == "slides":
        width, height = inches(drawn.svg)
        assert width / height == pytest.approx(16 / 9)


def test_no_two_of_16_series_look_alike_in_grey() -> None:
    looks = {(look(k).fill, look(k).hatch) for k in range(16)}
    assert len(looks) == 16 and not {".", "o"} & set("".join(HATCHES))


def test_steps_are_told_with_their_difference_and_verdict() -> None:
    climb = Climb(
        "GSM8K",
        [NOTHING, estimate(40, 2), estimate(44.25, 2)],
        {2: effect("b", 4.25, 1.5, verdict=Verdict.BETTER)},
    )
    drawn = draw_cumulative(["base", "a", "b"], [climb], "c", not_final=False, caption="")
    shown = words(drawn.svg)
    assert "+4.2 [+2.8, +5.8] ▲" in shown and "–" in shown and "GSM8K" in shown
    assert edge_is_free(drawn)


def test_scores_of_zero_have_an_axis() -> None:
    # matplotlib warns of an axis without length, and warnings are errors here.
    zero = {key: estimate(0.0, 0.0) for key in bars().scores}
    assert (replace(bars(), scores=zero).bottom, replace(bars(), scores=zero).top) == (0.0, 1.0)
    assert draw_bars(replace(bars(), scores=zero), "bars", title="", caption="").svg
    below = replace(bars(), scores={key: estimate(-2.0, 0.0) for key in zero})
    assert (below.bottom, below.top) == (-2.2, 0.0)
