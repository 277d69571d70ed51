"""Training curves as small multiples: a column a cell, a row a metric, shared axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator

from ablate.reporting.artifacts import Curve
from ablate.reporting.figures.legends import fitted, legend_above, wrapped
from ablate.reporting.figures.rows import renamed
from ablate.reporting.figures.save import Drawing, canvas, paged, rendered
from ablate.reporting.figures.style import BLUE, GREY, LIGHT, SCREEN, current
from ablate.reporting.figures.thin import Summary, summary, tails, thinned, thinned_band
from ablate.stats.estimate import FloatArray

PANELS: Mapping[str, str] = {
    "reward_normalized": "proxy reward (normalized)",
    "reward_raw": "proxy reward (raw)",
    "gold": "gold reward",
    "kl_per_sequence": "KL to the reference (nats)",
    "length_tokens": "length (tokens)",
    "entropy": "entropy (nats per token)",
    "ended_fraction": "ended (share)",
    "loss": "loss (nats)",
    "reward_margin": "implicit reward margin",
    "reward_chosen": "implicit reward, chosen",
    "reward_rejected": "implicit reward, rejected",
    "accuracy": "pairs ordered right (share)",
    "gradient_weight": "mean gradient weight",
}
COLUMNS = {SCREEN: 6, "paper": 5, "slides": 5}
"""Cells on one page, by style."""
PANEL = (1.6, 0.98)
WIDE_PANEL = 2.4
"""Inches of a panel on screen; the wide one where a page has few."""
POINTS = 1500
"""Points of a line over all panels of a page, which keeps an SVG below 150 kB."""
BAND = "#A9CDE4"


@dataclass(frozen=True)
class CellCurves:
    """The curves of one cell, one per seed."""

    cell: str
    seeds: tuple[Curve, ...]


def mean_curve(curves: Sequence[Curve], metric: str) -> tuple[FloatArray, FloatArray]:
    """Return steps and the mean over seeds at the steps that every seed has; NaN stays NaN."""
    found = summary(curves, metric)
    return found.steps, found.mean


def draw_curves(
    cells: Sequence[CellCurves],
    metrics: Sequence[str],
    name: str,
    *,
    title: str,
    baseline: CellCurves | None = None,
) -> Drawing | None:
    """Return the small multiples, or None where no cell has any of the metrics.

    Every cell is drawn, over as many pages as that takes, with the same axes on all of them. The
    ``baseline`` is a grey line in every panel but its own.
    """
    shown = [m for m in metrics if any(m in curve.metrics for c in cells for curve in c.seeds)]
    if not shown:
        return None
    count = math.ceil(len(cells) / COLUMNS[current().name])
    each = math.ceil(len(cells) / count)
    limits = {metric: axis_limits(cells, metric) for metric in shown}
    drawn = []
    for number in range(count):
        part = cells[number * each : (number + 1) * each]
        width = 1.0 + (PANEL[0] if each > 4 else WIDE_PANEL) * each
        with canvas(max(5.0, width), 1.5 + PANEL[1] * len(shown)) as figure:
            _page(figure, part, limits, baseline)
            said = title if count == 1 else f"{title}, page {number + 1} of {count}"
            names = ", ".join(PANELS.get(metric, metric) for metric in shown)
            alt = f"{said}: {names} of {', '.join(cell.cell for cell in part)}."
            caption = _caption(cells, baseline)
            drawn.append(
                rendered(figure, renamed(number, name), title=said, caption=caption, alt=alt)
            )
    return paged(drawn)


def _caption(cells: Sequence[CellCurves], baseline: CellCurves | None) -> str:
    most = max(len(cell.seeds) for cell in cells)
    band = "from the lowest to the highest seed"
    if most >= 5:
        band += " (from 5 seeds on: the middle 80 % of them)"
    grey = "" if baseline is None else f" Grey: {baseline.cell}."
    return (
        f"Lines: mean over seeds; bands: {band}; thin lines: seeds that went on alone.{grey} All"
        " panels of a row have one axis; an arrow with a number is a curve that leaves it. Long"
        " curves are thinned to the extremes of short stretches."
    )


def axis_limits(cells: Sequence[CellCurves], metric: str) -> tuple[float, float]:
    """Return the axis of a metric; a cell far outside those of most others is cut.

    Only from four cells on: with fewer nobody can say which one is the odd one.
    """
    ends = []
    for cell in cells:
        values = [c.metrics[metric] for c in cell.seeds if metric in c.metrics]
        finite = [v[np.isfinite(v)] for v in values]
        flat = np.concatenate(finite) if finite else np.array([])
        if len(flat):
            ends.append((float(flat.min()), float(flat.max())))
    if not ends:
        return 0.0, 1.0
    lows, highs = np.array(ends).T
    low, high = float(lows.min()), float(highs.max())
    if len(ends) >= 4:
        usual = (float(np.quantile(lows, 0.25)), float(np.quantile(highs, 0.75)))
        room = 2 * (usual[1] - usual[0])
        low, high = max(low, usual[0] - room), min(high, usual[1] + room)
    pad = 0.06 * (high - low) or 0.05 * max(abs(high), 1.0)
    return low - pad, high + pad


def _page(
    figure: Figure,
    cells: Sequence[CellCurves],
    limits: Mapping[str, tuple[float, float]],
    baseline: CellCurves | None,
) -> None:
    size = 0.9 * float(matplotlib.rcParams["ytick.labelsize"])
    grid = figure.subplots(len(limits), len(cells), squeeze=False, sharex=True, sharey="row")
    panel = (figure.get_figwidth() - 1.0) / len(cells)
    tall = (figure.get_figheight() - 1.5) / len(limits)
    most = max(16, min(60, POINTS // (len(limits) * len(cells))))
    for row, (metric, (low, high)) in enumerate(limits.items()):
        ticks = [tick for tick in MaxNLocator(3).tick_values(low, high) if low <= tick <= high]
        for column, cell in enumerate(cells):
            axes = grid[row][column]
            other = None if baseline is None or cell.cell == baseline.cell else baseline
            draw_panel(axes, cell, metric, baseline=other, most=most)
            is_last = row == len(limits) - 1
            _plain(axes, ticks, is_left=column == 0, is_last=is_last, size=size)
            _leaving(axes, cell, metric, high=high, low=low)
        grid[row][0].set_yticks(ticks)
        grid[row][0].set_ylim(low, high)
        words = fitted(PANELS.get(metric, metric), tall, size)
        grid[row][0].set_ylabel(words, fontsize=size)
    for axes, cell in zip(grid[0], cells, strict=True):
        axes.set_title(
            fitted(wrapped(cell.cell, 200, lines=1), panel - 0.08, size), fontsize=size, loc="left"
        )
    figure.supxlabel("optimizer or rollout step", fontsize="medium")
    legend_above(figure, _keys(baseline))


def _plain(axes: Any, ticks: Sequence[float], *, is_left: bool, is_last: bool, size: float) -> None:
    """Leave ticks and numbers to the outer panels; the others have lines at the same heights."""
    axes.patch.set_visible(False)
    axes.grid(visible=False)
    across = axes.get_yaxis_transform()
    axes.hlines(ticks, 0, 1, transform=across, color=LIGHT, linewidth=0.6, zorder=0)
    axes.spines["left"].set_visible(is_left)
    axes.tick_params(axis="both", labelsize=size, length=0)
    if is_last:
        axes.xaxis.set_major_locator(MaxNLocator(2, integer=True))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.tick_params(axis="x", length=3)
    axes.xaxis.set_visible(is_last)
    axes.yaxis.set_visible(is_left)


def draw_panel(
    axes: Any, cell: CellCurves, metric: str, *, baseline: CellCurves | None, most: int
) -> None:
    """Draw one cell's band and mean over the baseline's mean, in about ``most`` points a line."""
    if baseline is not None:
        other = summary(baseline.seeds, metric)
        _line(axes, other.steps, other.mean, most=most // 2, colour=GREY, width=1.0, dash="--")
    found: Summary = summary(cell.seeds, metric)
    if len(cell.seeds) > 1 and len(found.steps):
        steps, low, high = thinned_band(found, most)
        axes.fill_between(steps, low, high, color=BAND, linewidth=0)
    for steps, values in tails(cell.seeds, metric, found):
        _line(axes, steps, values, most=most // 2, colour=BLUE, width=0.6, dash="-")
    _line(axes, found.steps, found.mean, most=most, colour=BLUE, width=1.3, dash="-")


def _line(
    axes: Any, steps: FloatArray, values: FloatArray, *, most: int, colour: str, **drawn: Any
) -> None:
    """Draw a curve; points without a finite neighbour, such as an only one, are marks."""
    if not len(steps):
        return
    x, y = thinned(steps, values, most)
    axes.plot(x, y, color=colour, linewidth=drawn["width"], linestyle=drawn["dash"])
    known = np.isfinite(y)
    beside = np.zeros(len(y), bool)
    beside[1:] |= known[:-1]
    beside[:-1] |= known[1:]
    alone = known & ~beside
    if alone.any():
        axes.plot(x[alone], y[alone], "o", color=colour, markersize=3.5)


def _leaving(axes: Any, cell: CellCurves, metric: str, *, high: float, low: float) -> None:
    values = [curve.metrics[metric] for curve in cell.seeds if metric in curve.metrics]
    finite = np.concatenate([v[np.isfinite(v)] for v in values]) if values else np.array([])
    if not len(finite):
        return
    for worst, arrow, place, side in (
        (float(finite.max()), "↑", 0.98, "top"),
        (float(finite.min()), "↓", 0.02, "bottom"),
    ):
        if worst > high or worst < low:
            where = {"transform": axes.transAxes, "ha": "right", "va": side, "fontsize": 7}
            if (worst > high) == (arrow == "↑"):
                axes.text(0.98, place, f"{arrow} {worst:.3g}", **where)


def _keys(baseline: CellCurves | None) -> list[Any]:
    line, band = Line2D([], [], color=BLUE, linewidth=1.3), Patch(color=BAND)
    line.set_label("mean over seeds")
    band.set_label("spread of seeds")
    keys: list[Any] = [line, band]
    if baseline is not None:
        keys.append(Line2D([], [], color=GREY, linewidth=1.0, linestyle="--"))
        keys[-1].set_label(f"mean of {baseline.cell}")
    return keys
