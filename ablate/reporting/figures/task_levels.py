"""Scores of every cell on single tasks, beside chance and the band where they should lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ablate.reporting.figures.labels import shortened
from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import BLUE, GREY, INK, LIGHT
from ablate.stats.estimate import Estimate


@dataclass(frozen=True)
class Level:
    """One cell's score on one task."""

    cell: str
    score: Estimate
    start: float
    """Score of the cell that it is compared with; NaN where it is none."""


@dataclass(frozen=True)
class TaskPanel:
    """One task."""

    title: str
    levels: tuple[Level, ...]
    chance: float
    """NaN where none is known."""
    band: tuple[float, float] | None


def draw_task_levels(panels: Sequence[TaskPanel], name: str, *, caption: str) -> Drawing:
    """Return a panel a task, a row a cell, an arrow from the baseline's score to the cell's."""
    cells = list(dict.fromkeys(level.cell for panel in panels for level in panel.levels))
    with canvas(2.4 + 2.6 * len(panels), 0.9 + 0.3 * len(cells)) as figure:
        grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)
        for axes, panel in zip(grid.flat, panels, strict=True):
            _panel(axes, panel, cells)
        names = [shortened(cell, 50) for cell in cells]
        grid[0][0].set_yticks(range(len(cells)), names)
        grid[0][0].set_ylim(len(cells) - 0.4, -0.6)
        title = "Tasks with a chance level or a target band"
        return rendered(figure, name, title=title, caption=caption, alt=_alt(panels))


def _panel(axes: Any, panel: TaskPanel, cells: Sequence[str]) -> None:
    if panel.band is not None:
        axes.axvspan(*panel.band, color=LIGHT, zorder=0)
    if not math.isnan(panel.chance):
        axes.axvline(panel.chance, color=GREY, linestyle=":", linewidth=1.2, zorder=1)
    for level in panel.levels:
        y, score = cells.index(level.cell), level.score
        if not math.isnan(level.start):
            axes.annotate(
                "",
                xy=(score.value, y),
                xytext=(level.start, y),
                arrowprops={"arrowstyle": "->", "color": GREY, "linewidth": 0.8, "shrinkB": 3},
            )
        if score.defined:
            # With two seeds Student's interval may leave the scale; the tables have it whole.
            ends = [max(0.0, score.low), min(100.0, score.high)]
            axes.plot(ends, [y, y], color=BLUE, linewidth=1.4)
        outside = panel.band is not None and not panel.band[0] <= score.value <= panel.band[1]
        face = "white" if outside else BLUE
        axes.plot(score.value, y, "o", color=BLUE, markerfacecolor=face, markersize=6, zorder=3)
    axes.set_title(panel.title, color=INK)
    axes.grid(axis="y", visible=False)


def _alt(panels: Sequence[TaskPanel]) -> str:
    said = []
    for panel in panels:
        listed = ", ".join(f"{level.cell} {level.score.value:.1f}" for level in panel.levels)
        said.append(f"{panel.title}: {listed}")
    return "; ".join(said) + "."
