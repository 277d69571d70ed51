"""What each factor does on average over the others: marginal means, one panel a factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.reporting import text
from ablate.reporting.figures.labels import shortened
from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import BLUE, GREY
from ablate.stats.estimate import Estimate

_ROOM = 9
"""Letters of a level's name that stand side by side without being turned."""


@dataclass(frozen=True)
class FactorPanel:
    """One factor."""

    name: str
    said: str
    """Below the name: its share and p."""
    means: Mapping[str, Estimate]
    """Marginal mean by level, in order."""
    runs: Mapping[str, Sequence[float]]
    """Score of every run with the level."""


def draw_main_effects(
    panels: Sequence[FactorPanel], name: str, *, title: str, measure: str, caption: str
) -> Drawing:
    """Return one panel a factor over a shared axis: marginal means with intervals, runs faint.

    Expects one unit in all panels; ``measure`` names the axis.
    """
    sizes = [len(panel.means) for panel in panels]
    width = max(5.0, 1.2 + sum(0.85 * size + 0.5 for size in sizes))
    with canvas(width, 3.6 + _turned(panels)) as figure:
        ratios = [size + 0.6 for size in sizes]
        row = figure.subplots(1, len(panels), sharey=True, squeeze=False, width_ratios=ratios)[0]
        for axes, panel in zip(row, panels, strict=True):
            _panel(axes, panel)
        row[0].set_ylabel(measure)
        return rendered(figure, name, title=title, caption=caption, alt=_alt(panels))


def _turned(panels: Sequence[FactorPanel]) -> float:
    """Return the room in inches that turned names of levels take."""
    longest = max(len(level) for panel in panels for level in panel.means)
    return 0.05 * min(longest, 30) if longest > _ROOM else 0.0


def _panel(axes: Any, panel: FactorPanel) -> None:
    places = range(len(panel.means))
    for place, (level, mean) in enumerate(panel.means.items()):
        runs = panel.runs[level]
        axes.plot([place - 0.18] * len(runs), runs, "o", color=GREY, alpha=0.45, markersize=3.5)
        if mean.defined:
            axes.plot([place, place], [mean.low, mean.high], color=BLUE, linewidth=1.6)
    values = [mean.value for mean in panel.means.values()]
    axes.plot(places, values, "-", color=BLUE, linewidth=1.0, alpha=0.6)
    axes.plot(places, values, "o", color=BLUE, markersize=6.5)
    named_levels(axes, list(panel.means))
    axes.set_title(f"{panel.name}\n{panel.said}", fontsize=9, parse_math=False)
    axes.grid(axis="x", visible=False)


def named_levels(axes: Any, levels: Sequence[str]) -> None:
    """Name the places of a factor's levels below, turned where they are long."""
    turned = any(len(level) > _ROOM for level in levels)
    slanted = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if turned else {}
    shown = [shortened(level, 22) for level in levels]
    axes.set_xticks(range(len(levels)), shown, parse_math=False, **slanted)
    axes.set_xlim(-0.5, len(levels) - 0.5)


def _alt(panels: Sequence[FactorPanel]) -> str:
    said = []
    for panel in panels:
        means = ", ".join(f"{level} {text.plain(m.value)}" for level, m in panel.means.items())
        said.append(f"{panel.name} ({panel.said}): {means}")
    return "; ".join(said)
