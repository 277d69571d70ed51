"""Win rate against length: what a judge may have been charmed by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from ablate.reporting.figures.labels import Label, place_labels, shortened
from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import GREY, INK, LINES, MARKERS

TICKS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0)
"""Ratios of length at which an axis may have a tick."""
_SMALLEST, _LARGEST = 5.0, 11.0
"""Points across of the marks of the fewest and the most verdicts."""


@dataclass(frozen=True)
class Point:
    """One cell on one judged task."""

    cell: str
    length_ratio: float
    win_rate: float
    """In percent."""
    controlled: float
    """Length-controlled win rate; NaN where there is none."""
    is_start: bool
    """Whether arrows begin here."""
    name: str = ""
    """Short enough for the figure; the cell's where empty."""
    colour: str = ""
    """What its colour says, such as an algorithm; empty for the start and other rows."""
    shape: str = ""
    """What its mark says, such as a data set."""
    verdicts: int = 0
    """Prompts that were judged; 0 where unknown."""
    published: bool = False


def draw_win_rates(panels: Sequence[tuple[str, Sequence[Point]]], name: str) -> Drawing:
    """Return a panel a task: length ratio (log) and win rate, arrows from the baseline's point."""
    every = [point for _, points in panels for point in points]
    colours = [c for c in dict.fromkeys(point.colour for point in every) if c]
    shapes = [s for s in dict.fromkeys(point.shape for point in every) if s]
    handles = _handles(colours, shapes)
    with canvas(4.8 * len(panels) + 0.4, 4.0 + 0.2 * math.ceil(len(handles) / 3)) as figure:
        grid = figure.subplots(1, len(panels), squeeze=False)
        for axes, (title, points) in zip(grid.flat, panels, strict=True):
            _panel(axes, points, (colours, shapes))
            axes.set_title(title)
        if handles:
            figure.legend(handles=handles, loc="outside upper left", ncols=min(3, len(handles)))
        for axes, (_, points) in zip(grid.flat, panels, strict=True):
            _label(axes, points)
        alt = "; ".join(f"{title}: {_said(points)}" for title, points in panels)
        caption = _caption(every)
        return rendered(figure, name, title="Win rate and length", caption=caption, alt=alt)


def _panel(axes: Any, points: Sequence[Point], groups: tuple[list[str], list[str]]) -> None:
    axes.axhline(50, color=GREY, linestyle="--", linewidth=0.9)
    axes.axvline(1, color=GREY, linestyle="--", linewidth=0.9)
    start = next((point for point in points if point.is_start), None)
    counts = {point.verdicts for point in points}
    most = max(counts) if len(counts) > 1 else 0
    for point in points:
        if start is not None and point is not start:
            _arrow(axes, start, point)
        _draw(axes, point, groups, _size(point, most))
    _frame(axes, points)


def _draw(axes: Any, point: Point, groups: tuple[list[str], list[str]], size: float) -> None:
    colours, shapes = groups
    colour = LINES[colours.index(point.colour) % len(LINES)] if point.colour else INK
    marker = MARKERS[shapes.index(point.shape) % len(MARKERS)] if point.shape else "o"
    if not math.isnan(point.controlled):
        x, y = [point.length_ratio] * 2, [point.win_rate, point.controlled]
        axes.plot(x, y, color=colour, linewidth=0.8)
        hollow = {"color": colour, "markerfacecolor": "white", "markersize": size}
        axes.plot(x[:1], y[1:], marker, zorder=3, **hollow)
    axes.plot(
        *(point.length_ratio, point.win_rate, marker),
        **{"color": colour, "markersize": size, "markeredgecolor": INK},
        **{"markeredgewidth": 1.4 if point.published else 0.0, "zorder": 4},
    )


def _size(point: Point, most: int) -> float:
    """Return points across: the area grows with the verdicts, known ones alone."""
    if point.verdicts <= 0 or most <= 0:
        return 7.0
    return max(_SMALLEST, _LARGEST * math.sqrt(point.verdicts / most))


def _frame(axes: Any, points: Sequence[Point]) -> None:
    axes.set_xscale("log")
    low = min(0.9, *(point.length_ratio for point in points)) / 1.15
    high = max(1.1, *(point.length_ratio for point in points)) * 1.15
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if low <= tick <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    shown = [v for p in points for v in (p.win_rate, p.controlled, 50.0) if not math.isnan(v)]
    axes.set_ylim(max(-2, min(shown) - 6), min(102, max(shown) + 6))
    axes.set_xlabel("mean length / reference's")
    axes.set_ylabel("win rate (%)")


def _arrow(axes: Any, start: Point, end: Point) -> None:
    axes.annotate(
        "",
        xy=(end.length_ratio, end.win_rate),
        xytext=(start.length_ratio, start.win_rate),
        arrowprops={"arrowstyle": "->", "color": INK, "linewidth": 0.7, "shrinkA": 5, "shrinkB": 6},
    )


def _label(axes: Any, points: Sequence[Point]) -> None:
    labels = [Label(p.length_ratio, p.win_rate, shortened(p.name or p.cell, 32)) for p in points]
    held = [point for point in points if not math.isnan(point.controlled)]
    hollow = [Label(point.length_ratio, point.controlled, "") for point in held]
    place_labels(axes, labels, avoid=hollow)


def _handles(colours: Sequence[str], shapes: Sequence[str]) -> list[Line2D]:
    """Return what colours and shapes say; a legend of one would say nothing."""
    handles = []
    if len(colours) > 1:
        for index, label in enumerate(colours):
            handles.append(_handle(label, LINES[index % len(LINES)], "o"))
    if len(shapes) > 1:
        for index, label in enumerate(shapes):
            handles.append(_handle(label, GREY, MARKERS[index % len(MARKERS)]))
    return handles


def _handle(label: str, colour: str, marker: str) -> Line2D:
    return Line2D([], [], color=colour, linestyle="", marker=marker, label=label)


def _caption(points: Sequence[Point]) -> str:
    caption = (
        "Filled: win rate; hollow, joined by a thin line: length-controlled. Arrows lead from"
        " the baseline. Dashed: 50 %, and replies as long as the reference's. A win rate that"
        " rises only with length may be the judge's taste for length."
    )
    if len({point.verdicts for point in points}) > 1:
        caption += " The area of a mark grows with the number of judged prompts."
    if any(point.published for point in points):
        caption += " Dark edges: published numbers."
    return caption


def _said(points: Sequence[Point]) -> str:
    said = []
    for p in points:
        held = "" if math.isnan(p.controlled) else f", {p.controlled:.1f} % length-controlled"
        count = f" (n = {p.verdicts})" if p.verdicts else ""
        badge = " [published]" if p.published else ""
        at = f"{p.cell}{badge} {p.win_rate:.1f} % at {p.length_ratio:.2f} times"
        said.append(f"{at}{held}{count}")
    return "; ".join(said)
