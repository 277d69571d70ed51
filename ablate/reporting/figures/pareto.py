"""Quality against what it takes: the frontier, and who cannot be told apart from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from ablate.reporting.figures.labels import Label, place_labels, shortened
from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import GREY, INK, look
from ablate.stats.estimate import Estimate, FloatArray

MOST_ARMS = 24
"""Arms that a legend can name; every algorithm fits."""
_LEGEND_COLUMNS = 3
_PANEL_COLUMNS = 2


class Standing(StrEnum):
    """Where a cell stands to the frontier."""

    FRONTIER = "on the frontier"
    """No cell takes as little and is as good."""
    TIED = "tied with it"
    """Behind the frontier, and the quality there is not shown to be higher."""
    BEHIND = "behind it"
    """The interval of the difference to the frontier lies above 0."""


@dataclass(frozen=True)
class Spot:
    """One cell in one panel."""

    cell: str
    name: str
    """Short enough for the figure."""
    group: str
    """What its colour and mark say: an algorithm, or the cell itself."""
    x: Estimate
    y: Estimate
    standing: Standing
    path: tuple[FloatArray, FloatArray] | None = None
    """Both quantities while an online method trained, mean over seeds."""


@dataclass(frozen=True)
class Panel:
    """One thing that quality is bought with."""

    label: str
    spots: tuple[Spot, ...]


@dataclass(frozen=True)
class Texts:
    """What the figure says."""

    title: str
    quality: str
    caption: str
    groups: tuple[str, ...] = ()
    """Every group of the study, so that one has the same colour in every figure."""
    start: Estimate | None = None
    """Quality of the baseline, drawn as a level where it spends nothing of its own."""
    start_name: str = ""


def draw_pareto(panels: Sequence[Panel], name: str, *, texts: Texts) -> Drawing | None:
    """Return a panel for each thing that the cells differ in; None where they differ in none."""
    shown = [panel for panel in panels if len({spot.x.value for spot in panel.spots}) > 1]
    if not shown:
        return None
    present = dict.fromkeys(spot.group for panel in shown for spot in panel.spots)
    looks = {g: index for index, g in enumerate(dict.fromkeys([*texts.groups, *present]))}
    groups = {group: looks[group] for group in present}
    columns = min(_PANEL_COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    lines = math.ceil((min(MOST_ARMS, len(groups)) + 3) / _LEGEND_COLUMNS)
    with canvas(4.6 * columns + 0.4, 3.0 * rows + 0.3 + 0.2 * lines) as figure:
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes, panel in zip(grid.flat, shown, strict=False):
            _panel(axes, panel, looks, texts)
        for axes in list(grid.flat)[len(shown) :]:
            axes.set_axis_off()
        for row in grid:
            row[0].set_ylabel(texts.quality)
        figure.legend(
            **{"handles": _handles(groups, shown), "loc": "outside upper left"},
            ncols=min(_LEGEND_COLUMNS, len(groups) + 2),
        )
        for axes, panel in zip(grid.flat, shown, strict=False):
            _label(axes, panel)
        caption = texts.caption
        if len(groups) > MOST_ARMS:
            caption += f" The legend names the first {MOST_ARMS} of {len(groups)}."
        return rendered(figure, name, title=texts.title, caption=caption, alt=_alt(shown, texts))


def _panel(axes: Any, panel: Panel, looks: Mapping[str, int], texts: Texts) -> None:
    if texts.start is not None:
        axes.axhline(texts.start.value, color=GREY, linestyle=":", linewidth=1.0, zorder=1)
        axes.annotate(
            texts.start_name,
            **{"xy": (1, texts.start.value), "xycoords": ("axes fraction", "data")},
            **{"xytext": (-2, 2), "textcoords": "offset points", "ha": "right"},
            **{"fontsize": "x-small", "color": GREY},
        )
    frontier = sorted(
        (spot.x.value, spot.y.value) for spot in panel.spots if spot.standing is Standing.FRONTIER
    )
    for spot in panel.spots:
        _draw(axes, spot, looks[spot.group])
    right = axes.get_xlim()[1]
    steps = [*frontier, (right, frontier[-1][1])] if frontier else []
    if steps:
        axes.step(*zip(*steps, strict=True), where="post", color=INK, linewidth=1.0, zorder=2)
        axes.set_xlim(right=right)
    axes.set_xlabel(panel.label)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(_amount))
    axes.tick_params(labelleft=True)


def _amount(value: float, position: int | None = None) -> str:
    """Return a tick's label: 1500 is 1.5k, but 0.6 stays 0.6; 600m would read as minutes."""
    return str(EngFormatter(sep="")(value, position)) if abs(value) >= 1000 else f"{value:g}"


def _draw(axes: Any, spot: Spot, index: int) -> None:
    style, x, y = look(index), spot.x, spot.y
    if spot.path is not None:
        axes.plot(*spot.path, color=style.line, linewidth=0.7, alpha=0.4, zorder=1.5)
    cross = {"color": style.line, "linewidth": 0.8, "alpha": 0.7, "zorder": 2}
    if x.defined:
        # Nothing costs less than nothing, whatever a symmetric interval says.
        axes.plot([max(0.0, x.low), x.high], [y.value] * 2, **cross)
    if y.defined:
        axes.plot([x.value] * 2, [y.low, y.high], **cross)
    behind = spot.standing is Standing.BEHIND
    leads = spot.standing is Standing.FRONTIER
    axes.plot(
        *(x.value, y.value, style.marker),
        **{"color": style.line, "markerfacecolor": style.line if leads else "white"},
        **{"markersize": 5 if behind else 7.5, "markeredgewidth": 0.8 if behind else 1.6},
        zorder=5 if leads else 4,
    )


def _label(axes: Any, panel: Panel) -> None:
    first = [spot for spot in panel.spots if spot.standing is Standing.FRONTIER]
    others = [spot for spot in panel.spots if spot.standing is not Standing.FRONTIER]
    labels = [Label(s.x.value, s.y.value, shortened(s.name, 30)) for s in first]
    place_labels(axes, labels, avoid=[Label(s.x.value, s.y.value, "") for s in others])


def _handles(groups: Mapping[str, int], panels: Sequence[Panel]) -> list[Line2D]:
    handles = []
    for group in list(groups)[:MOST_ARMS]:
        style = look(groups[group])
        handles.append(_handle(group, style.line, marker=style.marker))
    present = {spot.standing for panel in panels for spot in panel.spots}
    handles.append(_handle("frontier", INK, linestyle="-", linewidth=1.0, marker="o"))
    if Standing.TIED in present:
        open_mark = {"markerfacecolor": "white", "markeredgewidth": 1.6}
        handles.append(_handle("not told apart from it", INK, marker="o", **open_mark))
    if Standing.BEHIND in present:
        small = {"markerfacecolor": "white", "markersize": 4, "markeredgewidth": 0.8}
        handles.append(_handle("behind it", INK, marker="o", **small))
    return handles


def _handle(label: str, colour: str, **style: Any) -> Line2D:
    return Line2D([], [], color=colour, label=label, **{"linestyle": "", **style})


def _alt(panels: Sequence[Panel], texts: Texts) -> str:
    said = []
    for panel in panels:
        points = sorted(panel.spots, key=lambda spot: spot.x.value)
        listed = ", ".join(
            f"{s.cell} {_number(s.y.value)} at {_number(s.x.value)} ({s.standing.value})"
            for s in points
        )
        said.append(f"{texts.quality} against {panel.label}: {listed}")
    return "; ".join(said) + "."


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def frontier_of(points: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    """Return which points nothing beats: no other takes as little and is as good, one strictly.

    Each point is what it takes (less is better) and its quality (more is better), shape (N,) bool.
    Equal points are both on the frontier.
    """
    table = np.asarray(points, np.float64).reshape(-1, 2)
    x, y = table[:, 0], table[:, 1]
    no_worse = (x[None, :] <= x[:, None]) & (y[None, :] >= y[:, None])
    strictly = (x[None, :] < x[:, None]) | (y[None, :] > y[:, None])
    return ~np.asarray((no_worse & strictly).any(axis=1))
