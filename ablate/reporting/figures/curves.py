"""Training curves: a panel per metric, seeds thin, their mean thick."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from ablate.reporting.artifacts import Curve
from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import look
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
MOST_CELLS = 10


@dataclass(frozen=True)
class CellCurves:
    """The curves of one cell, one per seed."""

    cell: str
    seeds: tuple[Curve, ...]


def mean_curve(curves: Sequence[Curve], metric: str) -> tuple[FloatArray, FloatArray]:
    """Return steps and the mean over seeds at the steps that every seed has; NaN stays NaN."""
    tables = [
        dict(zip(curve.steps, curve.metrics[metric], strict=True))
        for curve in curves
        if metric in curve.metrics
    ]
    if not tables:
        return np.array([]), np.array([])
    steps = sorted(set.intersection(*(set(table) for table in tables)))
    values = [float(np.mean([table[step] for table in tables])) for step in steps]
    return np.array(steps, np.float64), np.array(values, np.float64)


def draw_curves(
    cells: Sequence[CellCurves], metrics: Sequence[str], name: str, *, title: str
) -> Drawing | None:
    """Return the small multiples, or None where no cell has any of the metrics."""
    shown = cells[:MOST_CELLS]
    present = [m for m in metrics if any(m in curve.metrics for c in shown for curve in c.seeds)]
    if not present:
        return None
    columns = min(3, len(present))
    rows = math.ceil(len(present) / columns)
    with canvas(3.6 * columns, 2.5 * rows + 0.5) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, metric in zip(grid.flat, present, strict=False):
            _panel(axes, shown, metric)
        for axes in list(grid.flat)[len(present) :]:
            axes.set_axis_off()
        handles = [_handle(index, cell.cell) for index, cell in enumerate(shown)]
        figure.legend(handles=handles, loc="outside upper left", ncols=min(3, len(shown)))
        caption = "Thin lines are seeds, thick lines their mean."
        if len(cells) > len(shown):
            caption += f" The first {len(shown)} of {len(cells)} cells are drawn."
        alt = f"{title}: panels {', '.join(PANELS.get(m, m) for m in present)}."
        return rendered(figure, name, title=title, caption=caption, alt=alt)


def _panel(axes: Any, cells: Sequence[CellCurves], metric: str) -> None:
    for index, cell in enumerate(cells):
        style = look(index)
        for curve in cell.seeds:
            if metric in curve.metrics:
                values = curve.metrics[metric]
                axes.plot(curve.steps, values, color=style.line, linewidth=0.6, alpha=0.4)
        steps, mean = mean_curve(cell.seeds, metric)
        axes.plot(steps, mean, color=style.line, linestyle=style.dash, linewidth=1.9)
    axes.set_title(PANELS.get(metric, metric))
    axes.set_xlabel("optimizer or rollout step")


def _handle(index: int, label: str) -> Line2D:
    style = look(index)
    return Line2D([], [], color=style.line, linestyle=style.dash, linewidth=1.9, label=label)
