"""Ranks: how likely each one is for a cell, and average ranks over benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ablate.reporting.figures.labels import shortened
from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import GREY, INK
from ablate.stats.estimate import FloatArray

_LEAST = 0.05
"""Probabilities below this are not written."""
_LONG = 4.6
"""Inches from the first to the last average rank."""
_MOST_WRITTEN = 16
"""Ranks whose probabilities fit as numbers."""


@dataclass(frozen=True)
class RankRows:
    """Cells in the order of their scores, best first."""

    cells: Sequence[str]
    chances: FloatArray
    """Probability of each rank, (cells, ranks)."""
    best: Sequence[bool]
    """Which cannot be told from the best."""
    intervals: Sequence[tuple[int, int]]
    """Ranks that hold 95 % of each cell's chances."""

    @property
    def are_written(self) -> bool:
        """Whether there is room for numbers; lines and dots stand for them where there is not."""
        return len(self.cells) <= _MOST_WRITTEN


def draw_ranks(rows: RankRows, name: str, *, title: str, caption: str) -> Drawing:
    """Return a strip a cell, darker where a rank is more likely."""
    count = len(rows.cells)
    longest = max(len(cell) for cell in rows.cells)
    wide = 0.42 if rows.are_written else 0.22
    with canvas(max(5.0, 1.6 + 0.06 * longest + wide * count), 1.0 + 0.3 * count) as figure:
        axes = figure.subplots()
        # The root, so that the many small chances of many ranks are seen.
        axes.imshow(np.sqrt(rows.chances), cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(count), [str(rank) for rank in range(1, count + 1)])
        marks = ["● " if best else "" for best in rows.best]
        heads = [f"{mark}{shortened(cell)}" for mark, cell in zip(marks, rows.cells, strict=True)]
        axes.set_yticks(range(count), heads, parse_math=False)
        axes.set_xlabel("rank (1 is the best)")
        axes.grid(visible=False)
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)
        # White lines between fields: equal neighbours are still two.
        axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.2, visible=True)
        axes.tick_params(which="minor", length=0)
        (_numbers if rows.are_written else _intervals)(axes, rows)
        return rendered(figure, name, title=title, caption=caption, alt=_alt(rows))


def _intervals(axes: Any, rows: RankRows) -> None:
    """Draw the ranks that hold 95 % of each cell's chances, and the expected one."""
    expected = rows.chances @ np.arange(rows.chances.shape[1])
    for place, (low, high) in enumerate(rows.intervals):
        axes.plot([low - 1, high - 1], [place, place], color=INK, linewidth=0.9)
        axes.plot(expected[place], place, "o", color=INK, markersize=4)


def _numbers(axes: Any, rows: RankRows) -> None:
    """Write the chances that are not small."""
    for row, column in np.argwhere(rows.chances >= _LEAST):
        chance = rows.chances[row, column]
        colour = "white" if chance > 0.35 else INK
        shown = f"{100 * chance:.0f}"
        axes.text(column, row, shown, ha="center", va="center", color=colour, fontsize=8)


def _alt(rows: RankRows) -> str:
    likely = rows.chances.argmax(axis=1)
    return "; ".join(
        f"{cell}: most likely rank {rank + 1} ({100 * rows.chances[place, rank]:.0f} %)"
        for place, (cell, rank) in enumerate(zip(rows.cells, likely, strict=True))
    )


@dataclass(frozen=True)
class AverageRanks:
    """Average ranks of cells over benchmarks."""

    cells: Sequence[str]
    ranks: FloatArray
    groups: Sequence[Sequence[int]]
    """Cells that are not told apart, by place."""
    difference: float
    """Critical one."""


def draw_critical_difference(rows: AverageRanks, name: str, *, title: str, caption: str) -> Drawing:
    """Return the diagram of Demsar (2006): cells along an axis, bars over those not told apart."""
    order = [int(place) for place in np.argsort(rows.ranks, kind="stable")]
    lines = -(-len(order) // 2)
    bars = 0.16 * len(rows.groups)
    aside = 0.5 + 0.065 * max(len(shortened(cell)) for cell in rows.cells)
    with canvas(_LONG + 2 * aside, 1.3 + bars + 0.28 * lines) as figure:
        axes = figure.subplots()
        axes.set_axis_off()
        last = len(order)
        room = aside * (last - 1) / _LONG
        axes.set_xlim(1 - room, last + room)
        bottom = -(0.55 + bars + 0.28 * lines)
        axes.set_ylim(bottom, 0.85)
        _axis(axes, last, rows.difference)
        for number, group in enumerate(rows.groups):
            ends = [float(rows.ranks[place]) for place in group]
            height = -0.2 - 0.16 * number
            axes.plot([min(ends) - 0.03, max(ends) + 0.03], [height] * 2, color=INK, linewidth=3.2)
        for number, place in enumerate(order):
            is_left = number < lines
            line = number if is_left else last - 1 - number
            height = -(0.45 + bars + 0.28 * line)
            _cell(axes, rows, place, height=height, edge=1 - 0.1 if is_left else last + 0.1)
        return rendered(figure, name, title=title, caption=caption, alt=_ranks_alt(rows, order))


def _axis(axes: Any, last: int, difference: float) -> None:
    axes.plot([1, last], [0, 0], color=INK, linewidth=1.0)
    for rank in range(1, last + 1):
        axes.plot([rank, rank], [0, 0.08], color=INK, linewidth=1.0)
        axes.text(rank, 0.14, str(rank), ha="center", va="bottom", fontsize=8.5)
    end = 1 + difference
    axes.plot([1, end], [0.55, 0.55], color=GREY, linewidth=2.2)
    said = f"critical difference {difference:.2f}"
    axes.text(end + 0.01 * last, 0.55, f" {said}", ha="left", va="center", fontsize=8.5)


def _cell(axes: Any, rows: AverageRanks, place: int, *, height: float, edge: float) -> None:
    rank = float(rows.ranks[place])
    axes.plot([rank, rank, edge], [0, height, height], color=INK, linewidth=0.8)
    side = "right" if edge < rank else "left"
    label = f"{shortened(rows.cells[place])} · {rank:.2f}"
    gap = -0.05 if side == "right" else 0.05
    axes.text(edge + gap, height, label, ha=side, va="center", fontsize=8.5, parse_math=False)


def _ranks_alt(rows: AverageRanks, order: Sequence[int]) -> str:
    ranks = "; ".join(f"{rows.cells[place]} {rows.ranks[place]:.2f}" for place in order)
    groups = "; ".join(", ".join(rows.cells[place] for place in group) for group in rows.groups)
    apart = f" Not told apart: {groups}." if groups else ""
    return f"Average ranks: {ranks}. Critical difference {rows.difference:.2f}.{apart}"
