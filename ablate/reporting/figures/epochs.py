"""Evaluations of checkpoints: scores over epochs, and the reward that was trained on and gold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import GREY, LIGHT, look
from ablate.stats.estimate import FloatArray

MOST_CELLS = 10


@dataclass(frozen=True)
class EpochTrace:
    """One cell's evaluations, by epoch."""

    cell: str
    epochs: FloatArray
    """Shape (E,), ascending."""
    values: Mapping[str, FloatArray]
    """By metric, shape (seeds, E); NaN where a seed has no such score."""


@dataclass(frozen=True)
class Panel:
    """One metric over epochs or over the distance to the reference."""

    metric: str
    label: str
    over: str | None = None
    """Metric of the x axis, whose square root is drawn; None for epochs."""
    chance: float = math.nan
    """Score of a policy that knows nothing; NaN where none is known."""
    band: tuple[float, float] | None = None
    """Where the score of a task should lie."""


def draw_epochs(traces: Sequence[EpochTrace], panels: Sequence[Panel], name: str) -> Drawing:
    """Return a panel for each metric: seeds thin with their range, their mean thick.

    A dashed line stands at each epoch, a dotted one at chance; a grey band is a task's target.
    """
    shown = traces[:MOST_CELLS]
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    with canvas(max(5.4, 3.6 * columns), 2.7 * rows + 0.6) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            _panel(axes, shown, panel)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_axis_off()
        handles = [_handle(index, trace.cell) for index, trace in enumerate(shown)]
        figure.legend(handles=handles, loc="outside upper left", ncols=min(3, len(shown)))
        caption = (
            "The kept checkpoint of each epoch, evaluated like the last one. Thin lines are seeds,"
            " bands their range, thick lines their mean; dashed lines are ends of epochs."
        )
        if any(not math.isnan(panel.chance) for panel in panels):
            caption += " Dotted: the score of a policy that knows nothing."
        if any(panel.band for panel in panels):
            caption += " Grey: the task's target band."
        if any(panel.over for panel in panels):
            caption += " Where the proxy rises along √KL and gold falls, the reward is exploited."
        if len(traces) > len(shown):
            caption += f" The first {len(shown)} of {len(traces)} cells are drawn."
        alt = "; ".join(line for panel in panels for line in _said(panel, shown)) + "."
        return rendered(figure, name, title="Evaluation over epochs", caption=caption, alt=alt)


def _said(panel: Panel, traces: Sequence[EpochTrace]) -> Iterator[str]:
    for trace in traces:
        if panel.metric in trace.values and panel.over is None:
            means = trace.values[panel.metric].mean(axis=0)
            listed = ", ".join(
                f"{mean:.3g} at {epoch:g}" for epoch, mean in zip(trace.epochs, means, strict=True)
            )
            yield f"{panel.label} of {trace.cell}: {listed}"


def _panel(axes: Any, traces: Sequence[EpochTrace], panel: Panel) -> None:
    if panel.band is not None:
        axes.axhspan(*panel.band, color=LIGHT, zorder=0)
    if not math.isnan(panel.chance):
        axes.axhline(panel.chance, color=GREY, linestyle=":", linewidth=1.1, zorder=1)
    for index, trace in enumerate(traces):
        if panel.metric not in trace.values:
            continue
        style, values = look(index), trace.values[panel.metric]
        along = None if panel.over is None else trace.values.get(panel.over)
        if panel.over is not None and along is None:
            continue
        x = trace.epochs if along is None else along.clip(min=0) ** 0.5
        for seed, row in enumerate(values):
            axes.plot(
                x if along is None else x[seed], row, color=style.line, linewidth=0.6, alpha=0.45
            )
        if along is None and len(values) > 1:
            low, high = values.min(axis=0), values.max(axis=0)
            axes.fill_between(x, low, high, color=style.line, alpha=0.12, linewidth=0)
        middle = x if along is None else x.mean(axis=0)
        axes.plot(
            *(middle, values.mean(axis=0), style.marker),
            **{"color": style.line, "linestyle": style.dash, "linewidth": 1.9, "markersize": 5},
        )
    if panel.over is None:
        for epoch in sorted({float(e) for trace in traces for e in trace.epochs}):
            axes.axvline(epoch, color=GREY, linestyle="--", linewidth=0.7, zorder=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
    else:
        axes.set_xlabel("√KL to the reference (√nats)")
    axes.set_title(panel.label)


def _handle(index: int, label: str) -> Line2D:
    style = look(index)
    return Line2D(
        *([], []), color=style.line, linestyle=style.dash, marker=style.marker, label=label
    )
