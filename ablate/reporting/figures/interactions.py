"""Whether a factor does the same at every level of another: one line a level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ablate.reporting import text
from ablate.reporting.figures.labels import shortened, spread
from ablate.reporting.figures.main_effects import named_levels
from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import look
from ablate.stats.estimate import Estimate

COLUMNS = 2
_APART = 0.055
"""Labels of lines stand this share of the axis apart at least."""


@dataclass(frozen=True)
class PairPanel:
    """Two factors."""

    across: str
    """Factor along the axis."""
    by: str
    """Factor that has a line for each level."""
    said: str
    lines: Mapping[str, Mapping[str, Estimate]]
    """Mean by level of `by` and then of `across`, both in order."""


def draw_interactions(
    panels: Sequence[PairPanel], name: str, *, title: str, measure: str, caption: str
) -> Drawing:
    """Return one panel a pair of factors over a shared axis, lines labelled at their ends."""
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    wide = max(len(next(iter(panel.lines.values()))) for panel in panels)
    width = max(5.0, columns * (2.0 + 0.85 * wide))
    with canvas(width, rows * 3.6) as figure:
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        spare = list(grid.ravel())
        for axes, panel in zip(spare, panels, strict=False):
            _panel(axes, panel)
        for axes, panel in zip(spare, panels, strict=False):
            _labels(axes, panel)
        for axes in spare[len(panels) :]:
            axes.set_axis_off()
        for axes in grid[:, 0]:
            axes.set_ylabel(measure)
        return rendered(figure, name, title=title, caption=caption, alt=_alt(panels))


def _panel(axes: Any, panel: PairPanel) -> None:
    count = len(panel.lines)
    for number, means in enumerate(panel.lines.values()):
        style = look(number)
        # Side by side, so that intervals at one level do not hide each other.
        shift = 0.07 * (number - (count - 1) / 2)
        places = [place + shift for place in range(len(means))]
        for place, mean in zip(places, means.values(), strict=True):
            if mean.defined:
                axes.plot([place, place], [mean.low, mean.high], color=style.line, linewidth=1.0)
        values = [mean.value for mean in means.values()]
        drawn = {"color": style.line, "linestyle": style.dash, "marker": style.marker}
        axes.plot(places, values, markersize=5.5, linewidth=1.6, **drawn)
    levels = list(next(iter(panel.lines.values())))
    named_levels(axes, levels)
    longest = max(len(shortened(level, 22)) for level in panel.lines)
    axes.set_xlim(-0.4, len(levels) - 0.55 + 0.016 * (len(levels) + 1) * longest)
    axes.set_title(f"{panel.across} × {panel.by}\n{panel.said}", fontsize=9, parse_math=False)
    axes.grid(axis="x", visible=False)


def _labels(axes: Any, panel: PairPanel) -> None:
    """Name every line at its right end, moved apart where ends are near each other."""
    low, high = axes.get_ylim()
    ends = [list(means.values())[-1].value for means in panel.lines.values()]
    places = spread(np.array(ends), _APART * (high - low))
    last = len(next(iter(panel.lines.values()))) - 1
    shift = 0.07 * (len(ends) - 1) / 2
    for number, (level, place) in enumerate(zip(panel.lines, places, strict=True)):
        style = look(number)
        axes.annotate(
            shortened(level, 22),
            (last + shift, ends[number]),
            (last + shift + 0.12, place),
            color=style.line,
            fontsize=8.5,
            va="center",
            parse_math=False,
            arrowprops={"arrowstyle": "-", "color": style.line, "linewidth": 0.5, "alpha": 0.6},
        )


def _alt(panels: Sequence[PairPanel]) -> str:
    said = []
    for panel in panels:
        for level, means in panel.lines.items():
            values = ", ".join(f"{name} {text.plain(m.value)}" for name, m in means.items())
            said.append(f"{panel.by} {level}, by {panel.across}: {values}")
    return "; ".join(said)
