"""Quality against what it cost: online methods as curves, offline ones as points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import look
from ablate.stats.estimate import FloatArray

MOST_ARMS = 24
"""Arms that one figure can hold; every algorithm fits."""
_LEGEND_COLUMNS = 3


@dataclass(frozen=True)
class CostTrace:
    """One cell's quality against what it had spent."""

    cell: str
    paths: Mapping[str, tuple[FloatArray, FloatArray]]
    """By unit: what was spent and the quality then, mean over seeds; none of an offline method."""
    ends: Mapping[str, tuple[float, float]]
    """By unit: what the whole run spent and its quality when it was evaluated."""


def draw_costs(
    traces: Sequence[CostTrace], units: Mapping[str, str], *, quality: str
) -> Drawing | None:
    """Return a panel for each unit that the cells differ in, or None where they differ in none."""
    shown = traces[:MOST_ARMS]
    used = [unit for unit in units if _differ(shown, unit)]
    if not used:
        return None
    title = "Quality at equal cost"
    columns = min(_LEGEND_COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    with canvas(3.6 * max(len(used), 2), 3.4 + 0.2 * max(4, rows)) as figure:
        grid = figure.subplots(1, len(used), squeeze=False, sharey=True)
        for axes, unit in zip(grid.flat, used, strict=True):
            for index, trace in enumerate(shown):
                _draw(axes, trace, unit, index)
            axes.set_xlabel(units[unit])
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.xaxis.set_major_formatter(FuncFormatter(_amount))
        grid[0][0].set_ylabel(quality)
        handles = [_handle(index, trace.cell) for index, trace in enumerate(shown)]
        figure.legend(handles=handles, loc="outside upper left", ncols=columns)
        caption = (
            f"Marks: {quality} of the evaluation at what the whole arm spent, mean over seeds."
            " Lines: the same quantity of the rollouts while an online method trained."
            " Shared stages count in full for every arm."
        )
        if len(traces) > len(shown):
            caption += f" The first {len(shown)} of {len(traces)} arms are drawn."
        alt = f"{quality} against {', '.join(units[unit] for unit in used)} for each cell."
        return rendered(figure, "costs", title=title, caption=caption, alt=alt)


def _amount(value: float, position: int | None = None) -> str:
    """Return a tick's label: 1500 is 1.5k, but 0.6 stays 0.6; 600m would read as minutes."""
    return str(EngFormatter(sep="")(value, position)) if abs(value) >= 1000 else f"{value:g}"


def _differ(traces: Sequence[CostTrace], unit: str) -> bool:
    ends = {trace.ends[unit][0] for trace in traces if unit in trace.ends}
    return len(ends) > 1


def _draw(axes: Any, trace: CostTrace, unit: str, index: int) -> None:
    style = look(index)
    if unit in trace.paths:
        spent, quality = trace.paths[unit]
        axes.plot(spent, quality, color=style.line, linestyle=style.dash, linewidth=1.2)
    if unit in trace.ends:
        spent_at_end, value = trace.ends[unit]
        if not np.isnan(value):
            axes.plot(spent_at_end, value, style.marker, color=style.line, markersize=7)


def _handle(index: int, label: str) -> Line2D:
    style = look(index)
    return Line2D([], [], color=style.line, linestyle=style.dash, marker=style.marker, label=label)
