from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from ablate.reporting.artifacts import Curve
from ablate.reporting.figures.curves import CellCurves, axis_limits, draw_curves, draw_panel
from ablate.reporting.figures.style import drawn_in
from ablate.reporting.figures.thin import summary, tails, thinned, thinned_band
from ablate.reporting.training_figures import left_out

from .drawn import edge_is_free, font_sizes, words

METRICS = ("loss", "accuracy", "reward_margin")


def curve(values: list[float], steps: list[int] | None = None) -> Curve:
    at = steps or list(range(1, len(values) + 1))
    return Curve(np.array(at), {"loss": np.array(values, np.float64)})


def test_the_band_reaches_from_the_lowest_to_the_highest_seed() -> None:
    found = summary([curve([1, 4, 2]), curve([3, 2, 2]), curve([2, 0, 5])], "loss")
    assert found.mean.tolist() == [2, 2, 3]
    assert found.low.tolist() == [1, 0, 2] and found.high.tolist() == [3, 4, 5]


def test_from_five_seeds_on_the_band_holds_the_middle_four_fifths() -> None:
    # Quantiles 0.1 and 0.9 of 0, 1, 2, 3, 10: 0.4 of the way, 0 + 0.4 and 3 + 0.6 * 7.
    found = summary([curve([value]) for value in (0, 1, 2, 3, 10)], "loss")
    assert found.low[0] == pytest.approx(0.4) and found.high[0] == pytest.approx(7.2)


def test_a_seed_that_went_on_alone_is_no_mean() -> None:
    curves = [curve([1, 2]), curve([3, 4, 9, 8])]
    found = summary(curves, "loss")
    assert found.steps.tolist() == [1, 2] and found.mean.tolist() == [2, 3]
    ((steps, values),) = tails(curves, "loss", found)
    assert steps.tolist() == [2, 3, 4] and values.tolist() == [4, 9, 8]


def test_thinning_keeps_ends_and_every_extreme() -> None:
    x, y = np.arange(1000.0), np.sin(np.arange(1000.0) / 50)
    y[417], y[701] = 9.0, -9.0
    kept, values = thinned(x, y, 40)
    assert len(kept) <= 42
    assert {0.0, 417.0, 701.0, 999.0} <= set(kept.tolist())
    assert all(y[int(step)] == value for step, value in zip(kept, values, strict=True))


def test_thinning_leaves_a_gap_open() -> None:
    y = np.arange(100.0)
    y[40:60] = math.nan
    kept, values = thinned(np.arange(100.0), y, 20)
    inside = (kept >= 40) & (kept < 60)
    assert inside.any() and np.isnan(values[inside]).all()


def test_a_thinned_band_holds_every_seed() -> None:
    rng = np.random.default_rng(0)
    curves = [curve(list(rng.normal(size=500))) for _ in range(3)]
    steps, low, high = thinned_band(summary(curves, "loss"), 20)
    assert len(steps) == 21
    for one in curves:
        at = np.interp(one.steps, steps, low), np.interp(one.steps, steps, high)
        assert (at[0] <= one.metrics["loss"]).all() and (one.metrics["loss"] <= at[1]).all()


def test_a_curve_of_one_point_is_a_mark() -> None:
    axes = Figure().subplots()
    draw_panel(axes, CellCurves("A", (curve([0.5]),)), "loss", baseline=None, most=30)
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    assert [float(line.get_ydata()[0]) for line in marks] == [0.5]


def test_the_baseline_is_grey_and_the_cells_mean_is_drawn_as_it_is() -> None:
    axes = Figure().subplots()
    cells = CellCurves("A", (curve([1, 2, 3]), curve([3, 4, 5])))
    draw_panel(axes, cells, "loss", baseline=CellCurves("B", (curve([7, 8, 9]),)), most=30)
    drawn = [list(line.get_ydata()) for line in axes.lines]
    assert drawn == [[7, 8, 9], [2, 3, 4]] and axes.lines[0].get_linestyle() == "--"


def test_one_exploding_cell_does_not_flatten_the_others() -> None:
    # Seven cells from 0 to 1: the axis ends 2 ranges above and not at a million.
    cells = [CellCurves(str(k), (curve([0.0, 1.0]),)) for k in range(7)]
    cells.append(CellCurves("bad", (curve([0.0, 1e6]),)))
    low, high = axis_limits(cells, "loss")
    assert high == pytest.approx(3.0 + 0.06 * 3) and low == pytest.approx(-0.18)
    drawn = draw_curves(cells, ["loss"], "t", title="T", baseline=cells[0])
    assert drawn is not None
    assert "↑ 1e+06" in [word for page in (drawn, *drawn.pages) for word in words(page.svg)]


def test_many_cells_of_long_curves_are_all_drawn_within_the_budget() -> None:
    rng = np.random.default_rng(0)
    steps = np.arange(1, 1001)
    cells = [
        CellCurves(
            f"cell {k}",
            tuple(Curve(steps, {m: rng.normal(size=1000) for m in METRICS}) for _ in range(2)),
        )
        for k in range(8)
    ]
    with drawn_in("slides"):
        drawn = draw_curves(cells, METRICS[:1], "training", title="Training", baseline=cells[0])
    assert drawn is not None
    pages = [drawn, *drawn.pages]
    found = [word for page in pages for word in words(page.svg)]
    assert all(found.count(cell.cell) == 1 for cell in cells)
    assert all(edge_is_free(page) and min(font_sizes(page.svg)) >= 6 for page in pages)
    wide = draw_curves(cells[:6], METRICS, "training", title="Training", baseline=cells[0])
    assert wide is not None and len(wide.svg) < 150_000


def test_no_metric_gives_no_figure() -> None:
    assert draw_curves([CellCurves("A", (curve([1]),))], ["gold"], "t", title="T") is None


def test_more_cells_than_a_reader_compares_are_left_out_and_counted() -> None:
    assert left_out(12) == "" and left_out(100).startswith("The first 12 of 100 cells")
