"""Steps that add up, one panel a score: where each step stands and how far it came."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib

from ablate.reporting import text
from ablate.reporting.effects import EffectRow
from ablate.reporting.figures.bars import NOT_FINAL, one_seed
from ablate.reporting.figures.legends import fitted
from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import GREY, INK, VERDICT_COLOURS
from ablate.stats.estimate import Estimate

LABEL_INCHES = 1.6
PERCENT = (-2.0, 102.0)
"""Ends of the axis at most: what an interval says beyond them cannot be."""


@dataclass(frozen=True)
class Climb:
    """One score of every step."""

    title: str
    scores: Sequence[Estimate]
    """By step; undefined where a step has no such score."""
    steps: Mapping[int, EffectRow]
    """Difference to the step before, by step."""


def draw_cumulative(
    names: Sequence[str], climbs: Sequence[Climb], name: str, *, not_final: bool, caption: str
) -> Drawing:
    """Return a panel for each score over shared steps, downwards in their order."""
    width = 2.0 + 3.6 * len(climbs)
    with canvas(width, 1.2 + 0.55 * len(names)) as figure:
        size = float(matplotlib.rcParams["ytick.labelsize"])
        grid = figure.subplots(1, len(climbs), squeeze=False, sharey=True)[0]
        room = min(LABEL_INCHES, 0.24 * figure.get_figwidth())
        shown = [fitted(f"{place}  {words}", room, size) for place, words in enumerate(names)]
        for axes, climb in zip(grid, climbs, strict=True):
            _panel(axes, climb, size=0.9 * size)
        grid[0].set_yticks(range(len(names)), shown)
        grid[0].set_ylim(len(names) - 0.5, -0.5)
        if not_final:
            figure.supxlabel(NOT_FINAL, x=0.01, ha="left", fontsize="medium")
        alt = "; ".join(f"{climb.title}: {_said(names, climb)}" for climb in climbs)
        title = "What each step adds"
        return rendered(figure, name, title=title, caption=caption, alt=alt)


def _panel(axes: Any, climb: Climb, *, size: float) -> None:
    known = [(p, e) for p, e in enumerate(climb.scores) if not math.isnan(e.value)]
    axes.plot(
        [e.value for _, e in known], [p for p, _ in known], color=GREY, linewidth=0.9, zorder=1
    )
    for place, score in known:
        row = climb.steps.get(place)
        colour = INK if row is None else VERDICT_COLOURS[row.verdict]
        if score.defined:
            axes.plot([score.low, score.high], [place] * 2, color=colour, linewidth=1.3)
        face = "white" if score.n_seeds < 2 else colour
        axes.plot(score.value, place, "o", color=colour, markerfacecolor=face, markersize=6)
    low, high = axes.get_xlim()
    # Room for the words of a step on the side where its line is not.
    room = 0.25 * (high - low)
    axes.set_xlim(max(low - room, PERCENT[0]), min(high + room, PERCENT[1]))
    middle = sum(axes.get_xlim()) / 2
    before = dict(zip([p for p, _ in known][1:], [e.value for _, e in known], strict=False))
    for place, score in enumerate(climb.scores):
        row = climb.steps.get(place)
        if math.isnan(score.value):
            axes.text(0.03, place, text.DASH, transform=axes.get_yaxis_transform(), va="center")
        elif row is not None:
            right = (score.value + before.get(place, score.value)) / 2 < middle
            axes.text(
                *(0.99 if right else 0.01, place - 0.5, _words(row)),
                **{"transform": axes.get_yaxis_transform(), "ha": "right" if right else "left"},
                **{"va": "center", "fontsize": size},
            )
    axes.set_title(climb.title)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("score (%)")


def _words(row: EffectRow) -> str:
    shown = row.shown if row.shown.defined else row.effect
    star = "*" if one_seed(row) and shown.defined else ""
    return f"{text.effect(shown)}{star} {row.verdict.symbol}"


def _said(names: Sequence[str], climb: Climb) -> str:
    return ", ".join(
        f"{name} {text.plain(e.value)}" for name, e in zip(names, climb.scores, strict=True)
    )
