"""Proxy and gold reward against the distance that a policy has travelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from ablate.reporting.figures.labels import Label, end_labels, shortened
from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import INK, LINES, MARKERS
from ablate.stats.estimate import FloatArray
from ablate.stats.overoptimization import Curve, RewardFit

EACH_ROW = len(LINES)
"""Cells in one row of panels; more stand in further rows on the same axes."""
MOST_CELLS = 4 * EACH_ROW


@dataclass(frozen=True)
class Side:
    """One reward of one cell: the proxy, or gold."""

    seeds: tuple[Curve, ...]
    """Distance and reward of each seed, in the order of training."""
    mean: Curve
    """Over seeds, and over stretches of the steps that all of them have."""
    fit: RewardFit | None = None
    """None where the points are too few kinds of thing to fit, as single evaluations."""


@dataclass(frozen=True)
class RewardPath:
    """One cell that samples while it trains."""

    cell: str
    name: str
    """Short enough for the figure."""
    colour: int
    """Cells of equal number have equal colours: one reward-model size, where sizes differ."""
    proxy: Side
    gold: Side


@dataclass(frozen=True)
class BestOf:
    """Best-of-N with one reward model: N = 1, 2, 4, ..."""

    name: str
    colour: int
    sizes: tuple[int, ...]
    distance: FloatArray
    """Square root of the analytic divergence."""
    gold: FloatArray
    fit: RewardFit


@dataclass(frozen=True)
class Texts:
    """What the figure says."""

    proxy: str
    """Label of the left axis."""
    gold: str
    colours: tuple[str, ...]
    """Level that each number of a colour stands for; empty where every cell has its own."""
    caption: str


def draw_reward_kl(
    paths: Sequence[RewardPath],
    best: Sequence[BestOf],
    name: str,
    *,
    texts: Texts,
) -> Drawing:
    """Return rows of two panels (proxy left, gold right) on shared axes."""
    shown = paths[:MOST_CELLS]
    rows = _rows(shown)
    with canvas(9.6, 3.1 * len(rows) + 0.7) as figure:
        grid = figure.subplots(len(rows), 2, squeeze=False, sharex=True, sharey="col")
        for (left, right), row in zip(grid, rows, strict=True):
            for index, path in enumerate(row):
                _draw(left, path.proxy, _colour(path), MARKERS[index])
                _draw(right, path.gold, _colour(path), MARKERS[index])
            left.set_ylabel(texts.proxy)
            right.set_ylabel(texts.gold)
        for one in best:
            _draw_best(grid[0][1], one)
        for axes in grid[-1]:
            axes.set_xlabel("√KL to the reference (√nats, per sequence)")
        for (_, right), row in zip(grid, rows, strict=True):
            end_labels(right, [label for path in row if (label := _end(path))])
        handles = [*_handles(shown, best), *_colours(texts.colours)]
        figure.legend(handles=handles, loc="outside upper left", ncols=5)
        caption = texts.caption
        if len(paths) > len(shown):
            caption += f" The first {len(shown)} of {len(paths)} cells are drawn."
        title = "Reward against the distance from the reference"
        return rendered(figure, name, title=title, caption=caption, alt=_alt(shown, best))


def _rows(paths: Sequence[RewardPath]) -> list[list[RewardPath]]:
    """Return the paths in rows of about equal length."""
    count = -(-len(paths) // EACH_ROW)
    return [[paths[i] for i in part] for part in np.array_split(np.arange(len(paths)), count)]


def _colours(levels: Sequence[str]) -> list[Line2D]:
    return [
        Line2D([], [], color=LINES[index % len(LINES)], linewidth=4, label=level)
        for index, level in enumerate(levels)
    ]


def _colour(path: RewardPath) -> str:
    return LINES[path.colour % len(LINES)]


def _draw(axes: Any, side: Side, colour: str, marker: str) -> None:
    for seed in side.seeds:
        axes.plot(*seed, color=colour, linewidth=0.5, alpha=0.35, zorder=2)
    x, y = side.mean
    axes.plot(
        *(x, y),
        **{"color": colour, "linewidth": 1.7, "marker": marker, "markersize": 4.5, "zorder": 3},
    )
    if side.fit is not None and side.fit.defined and len(x):
        _draw_fit(axes, side.fit, reach(side), colour)


def reach(side: Side) -> tuple[float, float]:
    """Return the smallest and the largest distance of the mean; (0, 0) without any."""
    distance = side.mean[0]
    return (float(distance.min()), float(distance.max())) if len(distance) else (0.0, 0.0)


def _draw_fit(axes: Any, fit: RewardFit, ends: tuple[float, float], colour: str) -> None:
    along = np.linspace(*ends, 100)
    axes.plot(along, fit.at(along), color=colour, linewidth=1.1, linestyle=(0, (5, 2)), zorder=4)
    peak = fit.peak
    if not shows_peak(fit, ends):
        return
    height = float(fit.at(np.array([peak.value]))[0])
    if peak.defined:
        interval = [max(peak.low, ends[0]), min(peak.high, ends[1])]
        axes.plot(interval, [height] * 2, color=INK, linewidth=1.4, zorder=5)
    face = colour if peak.defined else "white"
    axes.plot(
        *(peak.value, height, "*"),
        **{"color": INK, "markerfacecolor": face, "markersize": 11, "zorder": 6},
    )


def shows_peak(fit: RewardFit, ends: tuple[float, float]) -> bool:
    """Whether a fit's peak lies inside the data and is either established or of one seed."""
    inside = ends[0] < fit.peak.value < ends[1]
    return fit.defined and inside and (fit.peak.defined or fit.peak.n_seeds < 2)


def _draw_best(axes: Any, best: BestOf) -> None:
    colour = LINES[best.colour % len(LINES)]
    axes.plot(
        *(best.distance, best.gold, "h"),
        **{"color": colour, "markerfacecolor": "white", "markersize": 6.5, "zorder": 5},
    )
    if best.fit.defined:
        along = np.linspace(float(best.distance.min()), float(best.distance.max()), 60)
        axes.plot(along, best.fit.at(along), color=colour, linewidth=1.0, linestyle=":", zorder=4)


def _end(path: RewardPath) -> Label | None:
    x, y = path.gold.mean
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not len(known):
        return None
    last = known[-1]
    return Label(float(x[last]), float(y[last]), shortened(path.name), _colour(path))


def _handles(paths: Sequence[RewardPath], best: Sequence[BestOf]) -> list[Line2D]:
    """Return what the lines are; which cell one is stands at its end."""
    sides = [side for path in paths for side in (path.proxy, path.gold)]
    handles = [
        _handle("one seed", linewidth=0.5, alpha=0.5),
        _handle("mean", linewidth=1.7, marker="o", markersize=4.5),
    ]
    if any(side.fit is not None and side.fit.defined for side in sides):
        handles.append(_handle("fit", linewidth=1.1, linestyle=(0, (5, 2))))
    if any(side.fit is not None and shows_peak(side.fit, reach(side)) for side in sides):
        handles.append(_handle("fitted peak", marker="*", markersize=10, linestyle=""))
    if best:
        handles.append(_handle("best of N", marker="h", markerfacecolor="white", linestyle=""))
    return handles


def _handle(label: str, **look: Any) -> Line2D:
    return Line2D([], [], color=INK, label=label, **look)


def _alt(paths: Sequence[RewardPath], best: Sequence[BestOf]) -> str:
    said = []
    for path in paths:
        for title, side in (("proxy", path.proxy), ("gold", path.gold)):
            x, y = side.mean
            known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
            if len(known):
                first, last = known[0], known[-1]
                said.append(
                    f"{path.cell}, {title} from {y[first]:.2f} to {y[last]:.2f} at √KL"
                    f" {x[last]:.2f}"
                )
    said += [
        f"best of {one.sizes[-1]} by {one.name} {one.gold[-1]:.2f} at √KL {one.distance[-1]:.2f}"
        for one in best
    ]
    return "; ".join(said) + "."
