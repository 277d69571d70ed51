from __future__ import annotations

import math
from dataclasses import replace

import pytest
from matplotlib.figure import Figure

import ablate
from ablate.reporting.effect_figures import forest_groups
from ablate.reporting.effects import EffectRow
from ablate.reporting.figures.forest import draw_forest
from ablate.reporting.figures.reach import axis_reach
from ablate.reporting.figures.save import Drawing, compact
from ablate.reporting.figures.strips import Strip, draw_strip, draw_strips
from ablate.reporting.figures.style import STYLES, drawn_in
from ablate.reporting.records import StudyRecord
from ablate.reporting.study_figures import make_figure
from ablate.spec.analysis import Analysis
from ablate.stats.verdicts import Verdict

from .drawn import NOTHING, edge_is_free, effect, estimate, font_sizes, inches, words

LONG = "a data set of people's conversations · ppo · 5e-7 · mixed prompts, with maths"


def plot(groups: list[tuple[str, list[EffectRow]]], style: str = "screen") -> Drawing:
    with drawn_in(style):
        return draw_forest(groups, "forest", unit="percent", margin=1.0, caption="")


def test_a_forest_has_the_numbers_of_its_rows_beside_them() -> None:
    rows = [
        effect("DPO", 2.25, 1.5, verdict=Verdict.BETTER),
        effect("PPO", -3.0, 2.0, verdict=Verdict.WORSE, seeds=1),
    ]
    shown = words(plot([("Against SFT", rows)]).svg)
    assert {"Against SFT", "DPO", "PPO", "+2.2 [+0.8, +3.8]", "▲ better"} <= set(shown)
    # One seed: its interval is that over items, and a star says so.
    assert {"−3.0 [−5.0, −1.0]", "▼ worse", "1*", "0.200", "400"} <= set(shown)


@pytest.mark.parametrize(("style", "count"), [("screen", 40), ("paper", 22), ("slides", 15)])
def test_many_rows_with_long_names_are_whole_in_every_style(style: str, count: int) -> None:
    rows = [effect(f"{LONG} {k}", k / 10) for k in range(count)]
    drawn = plot([("Against SFT", rows)], style)
    pages = [drawn, *drawn.pages]
    found = [word for page in pages for word in words(page.svg)]
    values = [f"[{k / 10 - 1:+.1f}, {k / 10 + 1:+.1f}]".replace("-", "−") for k in range(count)]
    assert [sum(value in word for word in found) for value in values] == [1] * count
    assert all(edge_is_free(page) and min(font_sizes(page.svg)) >= 6 for page in pages)
    assert [page.name for page in pages][:2] == ["forest", "forest-2"][: len(pages)]
    assert (len(pages) > 1) == (style != "screen")
    assert all(len(page.svg) < 150_000 for page in pages)
    if len(pages) > 1:
        assert "Against SFT (continued)" in words(pages[1].svg)
        assert all(inches(page.svg)[1] <= STYLES[style].tallest * 1.35 for page in pages)


def test_one_wide_interval_does_not_flatten_the_others() -> None:
    # Ends of 3 for all but one, whose end is 92: the axis ends at 4 times 3.
    rows = [effect(str(k), 2.0, 1.0) for k in range(8)] + [effect("wide", 2.0, 90.0)]
    assert axis_reach(rows) == 12.0
    assert axis_reach(rows[:8]) == 3.0
    # The margin is always inside, with room beside it.
    assert axis_reach(rows[:8], margin=10.0) == 13.0
    assert axis_reach([]) == 0.1
    assert axis_reach([replace(rows[0], effect=NOTHING)]) == 0.1


def test_families_declared_first_stand_first_and_the_rest_is_marked(
    ladder_study: StudyRecord,
) -> None:
    said = replace(ladder_study, analysis=Analysis(contrasts=("steps",)))
    heads = [head for head, _ in forest_groups(ablate.open_study(said).findings)]
    assert heads[0] == "Effect of each step"
    assert heads[1] == "Effects against the baseline: SFT (exploratory)"


def test_every_seed_is_a_point_and_the_mean_stands_apart() -> None:
    axes = Figure().subplots()
    strip = Strip("DPO", {0: 50.0, 1: 52.5, 2: 51.0}, estimate(51.2, 2.0), frozenset({1}))
    draw_strip(axes, 0.0, strip)
    marks = [(line.get_marker(), float(line.get_xdata()[0])) for line in axes.lines]
    assert marks[1:] == [("o", 50.0), ("x", 52.5), ("o", 51.0), ("D", 51.2)]
    assert list(axes.lines[0].get_xdata()) == pytest.approx([49.2, 53.2])
    heights = [float(line.get_ydata()[0]) for line in axes.lines]
    assert max(heights[1:4]) < heights[4]


def test_a_published_score_is_a_square_without_a_mean() -> None:
    axes = Figure().subplots()
    draw_strip(axes, 0.0, Strip("paper", {0: 61.0}, NOTHING, is_published=True))
    assert [line.get_marker() for line in axes.lines] == ["s"]


def test_strips_of_many_cells_are_whole_and_the_baseline_is_named() -> None:
    strips = [Strip(f"{LONG} {k}", {0: 40.0 + k}, estimate(40.0 + k, 1, seeds=1)) for k in range(9)]
    strips.append(Strip("bad", {0: 1.0, 1: math.pi}, NOTHING, is_final=False))
    with drawn_in("paper"):
        drawn = draw_strips(strips, "s", label="Average (%)", unit="percent", baseline=("B", 41.0))
    assert edge_is_free(drawn)
    assert {"mean of B", "Average (%)", "bad *", "* Presented data not final"} <= set(
        words(drawn.svg)
    )


def test_equal_scores_have_an_axis_that_people_can_read() -> None:
    # Both seeds of both cells at 0: no tick of 1e-11 of a point, but half a point to either side.
    strips = [Strip(name, {0: 0.0, 1: 0.0}, estimate(0.0, 0.0)) for name in ("SFT", "DPO")]
    with drawn_in("screen"):
        drawn = draw_strips(strips, "s", label="Average (%)", unit="percent", baseline=None)
    shown = words(drawn.svg)
    assert "0.4" in shown and not any("e−" in word or "1e" in word for word in shown)


def test_seeds_of_a_study_are_drawn_cell_by_cell(grid_study: StudyRecord) -> None:
    drawn = make_figure("seeds", grid_study)
    assert drawn is not None and set(grid_study.cells) <= set(words(drawn.svg))
    again = make_figure("seeds", grid_study)
    assert again is not None and drawn.files == again.files
    assert set(drawn.files) == {"seeds.svg", "seeds.pdf", "seeds.png"}
    assert b"CreationDate" not in drawn.pdf
    paper = make_figure("seeds", grid_study, style="paper")
    assert paper is not None and b"/FontFile2" in paper.pdf and b"/Type3" not in paper.pdf


def test_an_unknown_style_names_the_nearest(grid_study: StudyRecord) -> None:
    with pytest.raises(ValueError, match="Did you mean 'slides'"):
        make_figure("forest", grid_study, style="slide")


def test_a_figure_keeps_what_names_say() -> None:
    svg = b'<path d="M 1.23456 7.999999"/><text x="0.005001">a 1.23456 rotate(-0 b)</text>'
    assert compact(svg) == b'<path d="M 1.23 8"/><text x="0.01">a 1.23456 rotate(-0 b)</text>'
