"""Grouped bars of scores above, the paired differences that decide them below."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from ablate.reporting import text
from ablate.reporting.effects import EffectRow
from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import INK, LIGHT, VERDICT_COLOURS, look
from ablate.stats.estimate import Estimate
from ablate.stats.verdicts import Verdict

GROUP_WIDTH = 0.84
WIDEST_BAR = 0.2
HALO = [withStroke(linewidth=2.4, foreground="white")]
"""Keeps a whisker visible on a dark or hatched bar."""


@dataclass(frozen=True)
class Bars:
    """The numbers of one grouped chart."""

    groups: Sequence[str]
    """Labels along the x axis."""
    series: Sequence[str]
    """Bars of a group, in order."""
    scores: Mapping[tuple[str, str], Estimate]
    """By series and group."""
    steps: Mapping[tuple[str, str], EffectRow]
    """The difference drawn under a bar, by series and group."""
    margin: float
    score_label: str
    step_label: str

    @property
    def slot(self) -> float:
        """Width of one bar's place, in groups."""
        return min(WIDEST_BAR, GROUP_WIDTH / len(self.series))

    def offset(self, index: int) -> float:
        """Return the centre of a series' bars from the middle of their group."""
        return self.slot * (index + 0.5 - len(self.series) / 2)


def draw_bars(bars: Bars, name: str, *, title: str, caption: str) -> Drawing:
    """Return the chart; an undefined score leaves its place empty and marked with a dash."""
    labels = [label.replace(" · ", "\n") for label in bars.groups]
    letters = max(len(line) for label in labels for line in label.split("\n"))
    group = max(0.26 * (len(bars.series) + 1), 0.085 * letters)
    width = max(5.0, min(13.0, 1.2 + group * len(bars.groups)))
    with canvas(width, 6.2) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2.2])
        handles = _scores(upper, bars)
        _steps(lower, bars)
        if bars.groups[-1] == text.label("average"):
            for axes in (upper, lower):  # The average is no seventh category.
                axes.axvspan(len(bars.groups) - 1.5, len(bars.groups), color="#F4F4F4", zorder=0)
        lower.set_xticks(range(len(bars.groups)), labels)
        lower.set_xlim(-0.5, len(bars.groups) - 0.5)
        rows = math.ceil(len(bars.series) / 3)
        figure.legend(
            handles=handles,
            loc="outside upper left",
            ncols=math.ceil(len(bars.series) / rows),
        )
        return rendered(figure, name, title=title, caption=caption, alt=_alt(bars))


def _scores(axes: Any, bars: Bars) -> list[Any]:
    slot = bars.slot
    handles = []
    for index, series in enumerate(bars.series):
        values = [bars.scores.get((series, group)) for group in bars.groups]
        x = np.arange(len(bars.groups)) + bars.offset(index)
        heights = [math.nan if value is None else value.value for value in values]
        style = look(index)
        handles.append(
            axes.bar(
                x,
                heights,
                slot * 0.92,
                color=style.fill,
                hatch=style.hatch,
                edgecolor=INK,
                linewidth=0.7,
                label=f"{index}  {series}" if len(bars.series) > 2 else series,
            )
        )
        for place, value in zip(x, values, strict=True):
            _whisker(axes, place, value)
    axes.set_ylabel(bars.score_label)
    axes.set_ylim(bottom=0)
    axes.grid(axis="x", visible=False)
    axes.tick_params(axis="x", length=0)
    return handles


def _whisker(axes: Any, place: float, value: Estimate | None) -> None:
    if value is None or math.isnan(value.value):
        axes.annotate(text.DASH, (place, 0.5), ha="center", va="bottom", color=INK)
    elif value.defined:
        spread = [[value.value - value.low], [value.high - value.value]]
        axes.errorbar(
            place, value.value, spread, color=INK, linewidth=0.9, capsize=1.8, path_effects=HALO
        )


def _steps(axes: Any, bars: Bars) -> None:
    if bars.margin > 0:
        axes.axhspan(-bars.margin, bars.margin, color=LIGHT, alpha=0.7, linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.8)
    for index, series in enumerate(bars.series):
        for place, group in enumerate(bars.groups):
            row = bars.steps.get((series, group))
            if row is not None:
                shift = bars.offset(index) if len(bars.series) > 2 else 0.0
                step_mark(axes, place + shift, row, marker=look(index).marker)
    axes.set_ylabel(bars.step_label)
    axes.grid(axis="x", visible=False)
    axes.tick_params(axis="x", length=0)
    axes.margins(y=0.22)
    present = dict.fromkeys(row.verdict for row in bars.steps.values())
    lines = 1 + max(label.count(" · ") for label in bars.groups)
    axes.legend(
        handles=[_verdict_handle(verdict) for verdict in Verdict if verdict in present],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.06 - 0.08 * lines),
        ncols=6,
        handletextpad=0.3,
    )


def _verdict_handle(verdict: Verdict) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="",
        marker=f"${verdict.symbol}$",
        color=VERDICT_COLOURS[verdict],
        markersize=7,
        label=verdict.value,
    )


def step_mark(axes: Any, x: float, row: EffectRow, *, marker: str) -> None:
    """Draw one difference: open when nothing was decided or there is one seed, symbol above."""
    shown = row.shown if row.shown.defined else row.effect
    if math.isnan(shown.value):
        return
    colour = VERDICT_COLOURS[row.verdict]
    decided = row.verdict not in (Verdict.INCONCLUSIVE, Verdict.INVALID) and row.effect.defined
    top = shown.value
    if shown.defined:
        spread = [[shown.value - shown.low], [shown.high - shown.value]]
        axes.errorbar(x, shown.value, spread, color=colour, linewidth=1.1, capsize=0)
        top = shown.high
    axes.plot(
        x,
        shown.value,
        marker=marker,
        markersize=4.5,
        color=colour,
        markerfacecolor=colour if decided else "white",
    )
    axes.annotate(
        row.verdict.symbol,
        (x, top),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=7.5,
        color=colour,
    )


def _alt(bars: Bars) -> str:
    parts = []
    for series in bars.series:
        last = bars.scores.get((series, bars.groups[-1]))
        if last is not None:
            parts.append(f"{series}: {text.plain(last.value)}")
    return f"Bars for {bars.groups[-1]}: {'; '.join(parts)}. All numbers are in the tables."
