"""Reward models by their accuracy and by what became of their policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ablate.reporting.figures.labels import Label, place_labels, shortened
from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import GREY, LINES, MARKERS
from ablate.stats.estimate import Estimate

FEWEST_FOR_A_LINE = 5
"""Points below which a fitted line would only join them."""


@dataclass(frozen=True)
class Outcome:
    """One reward model in one panel."""

    name: str
    accuracy: Estimate
    outcome: Estimate


@dataclass(frozen=True)
class Panel:
    """One outcome against accuracy."""

    accuracy: str
    outcome: str
    points: tuple[Outcome, ...]
    title: str
    """The rank correlation and its number of points."""


def draw_reward_policy(panels: Sequence[Panel], name: str, *, caption: str) -> Drawing:
    """Return a panel an outcome: each point a reward model with its 95 % intervals."""
    names = list(dict.fromkeys(point.name for panel in panels for point in panel.points))
    with canvas(4.6 * len(panels) + 0.3, 3.6) as figure:
        grid = figure.subplots(1, len(panels), squeeze=False)
        for axes, panel in zip(grid.flat, panels, strict=True):
            _panel(axes, panel, names)
        for axes, panel in zip(grid.flat, panels, strict=True):
            points = [
                Label(p.accuracy.value, p.outcome.value, shortened(p.name, 32))
                for p in panel.points
            ]
            place_labels(axes, points)
        title = "Reward models' accuracy and what comes of it"
        return rendered(figure, name, title=title, caption=caption, alt=_alt(panels))


def _panel(axes: Any, panel: Panel, names: Sequence[str]) -> None:
    for point in panel.points:
        index = names.index(point.name)
        x, y, colour = point.accuracy, point.outcome, LINES[index % len(LINES)]
        if x.defined:
            axes.plot([x.low, x.high], [y.value] * 2, color=colour, linewidth=0.9, alpha=0.7)
        if y.defined:
            axes.plot([x.value] * 2, [y.low, y.high], color=colour, linewidth=0.9, alpha=0.7)
        marker = MARKERS[index % len(MARKERS)]
        axes.plot(x.value, y.value, marker, color=colour, markersize=7, zorder=4)
    at = np.array([point.accuracy.value for point in panel.points])
    reached = np.array([point.outcome.value for point in panel.points])
    if len(at) >= FEWEST_FOR_A_LINE and np.ptp(at) > 0:
        slope, level = np.polyfit(at, reached, 1)
        ends = np.array([at.min(), at.max()])
        axes.plot(ends, level + slope * ends, color=GREY, linestyle="--", linewidth=1.0, zorder=1)
    axes.margins(0.16)
    axes.set_title(panel.title)
    axes.set_xlabel(panel.accuracy)
    axes.set_ylabel(panel.outcome)


def _alt(panels: Sequence[Panel]) -> str:
    said = []
    for panel in panels:
        listed = ", ".join(
            f"{p.name} {p.accuracy.value:.1f} and {p.outcome.value:.3g}" for p in panel.points
        )
        said.append(f"{panel.accuracy} and {panel.outcome}: {listed}; {panel.title}")
    return "; ".join(said) + "."
