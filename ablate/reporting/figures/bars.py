"""Grouped bars of scores above, the paired differences that decide them below."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from ablate.reporting import text
from ablate.reporting.effects import EffectRow
from ablate.reporting.figures.legends import fitted, legend_above, longest_line
from ablate.reporting.figures.reach import axis_reach
from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import GREY, INK, LIGHT, VERDICT_COLOURS, look
from ablate.stats.estimate import Estimate
from ablate.stats.verdicts import Verdict

GROUP_WIDTH = 0.84
WIDEST_BAR = 0.2
NOT_FINAL = "* Presented data not final"
HALO = [withStroke(linewidth=2.4, foreground="white")]
"""Keeps a whisker visible on a dark or hatched bar."""
SHADE = "#F4F4F4"


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
    not_final: frozenset[str] = field(default_factory=frozenset)
    """Series whose numbers are preliminary."""
    numbered: bool = False
    """Whether series are steps that follow one another."""
    unit: str = "percent"
    """Of scores and differences."""

    @property
    def slot(self) -> float:
        """Width of one bar's place, in groups."""
        return min(WIDEST_BAR, GROUP_WIDTH / len(self.series))

    def places(self, index: int) -> list[float]:
        """Return the centres of a series' bars."""
        offset = self.slot * (index + 0.5 - len(self.series) / 2)
        return [place + offset for place in range(len(self.groups))]

    def values(self, index: int) -> list[Estimate | None]:
        """Return a series' scores by group; None where there is none."""
        found = (self.scores.get((self.series[index], group)) for group in self.groups)
        return [None if one is None or math.isnan(one.value) else one for one in found]

    def name(self, index: int) -> str:
        """Return a series' name in legends: its number, and a star where it is not final."""
        series = self.series[index]
        star = " *" if series in self.not_final else ""
        return f"{index}  {series}{star}" if self.numbered else f"{series}{star}"

    @property
    def top(self) -> float:
        """End of the score axis: above every bar and whisker, in steps of 5; 1 where all are 0."""
        ends = [max(e.value, e.high if e.defined else e.value) for e in self.scores.values()]
        highest = max((end for end in ends if not math.isnan(end)), default=1.0)
        if highest > 5:
            return 5 * math.ceil(1.05 * highest / 5)
        # Scores of exactly 0, as tiny studies have, still need an axis of some length.
        return max(0.0, 1.1 * highest) or (0.0 if self.bottom < 0 else 1.0)

    @property
    def bottom(self) -> float:
        """Start of the score axis: 0, or below every bar where scores are negative."""
        ends = [min(e.value, e.low if e.defined else e.value) for e in self.scores.values()]
        return min(0.0, 1.1 * min((end for end in ends if not math.isnan(end)), default=0.0))


def draw_bars(bars: Bars, name: str, *, title: str, caption: str) -> Drawing:
    """Return the chart; an undefined score leaves its place empty and marked with a dash."""
    labels = [label.replace(" · ", "\n") for label in bars.groups]
    group = max(0.26 * (len(bars.series) + 1), min(1.5, 0.085 * longest_line(labels)))
    width = max(5.0, min(13.0, 1.2 + group * len(bars.groups)))
    with canvas(width, 6.2) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2.2])
        draw_scores(upper, bars, revealed=len(bars.series))
        _steps(lower, bars)
        group_axis(figure, (upper, lower), bars, labels)
        legend_above(figure, [swatch(bars, index) for index in range(len(bars.series))])
        if bars.not_final:
            figure.supxlabel(NOT_FINAL, x=0.01, ha="left", fontsize="medium")
        return rendered(figure, name, title=title, caption=caption, alt=_alt(bars))


def swatch(bars: Bars, index: int) -> Patch:
    """Return a series' key."""
    style = look(index)
    return Patch(
        facecolor=style.fill,
        hatch=style.hatch,
        edgecolor=INK,
        linewidth=0.7,
        label=bars.name(index),
    )


def group_axis(figure: Figure, panels: Sequence[Any], bars: Bars, labels: Sequence[str]) -> None:
    """Name the groups under the last panel; an average stands on grey, as no further category."""
    size = float(panels[-1].xaxis.get_ticklabels()[0].get_fontsize())
    room = (0.96 * figure.get_figwidth() - 0.6) / len(labels)
    shown = ["\n".join(fitted(p, room, size) for p in label.split("\n")) for label in labels]
    panels[-1].set_xticks(range(len(labels)), shown)
    panels[-1].set_xlim(-0.5, len(labels) - 0.5)
    for axes in panels:
        axes.grid(axis="x", visible=False)
        axes.tick_params(axis="x", length=0)
        for place, label in enumerate(bars.groups):
            if label.startswith(text.label("average")):
                axes.axvspan(place - 0.5, place + 0.5, color=SHADE, zorder=0, linewidth=0)


def draw_scores(axes: Any, bars: Bars, *, revealed: int) -> None:
    """Draw the first ``revealed`` series; the others keep their places free."""
    for index in range(revealed):
        style, values = look(index), bars.values(index)
        places = bars.places(index)
        axes.bar(
            *(places, [math.nan if one is None else one.value for one in values], 0.92 * bars.slot),
            **{"color": style.fill, "hatch": style.hatch, "edgecolor": INK, "linewidth": 0.7},
        )
        whiskers(axes, places, values)
    axes.set_ylabel(bars.score_label)
    axes.set_ylim(bars.bottom, bars.top)


def whiskers(axes: Any, places: Sequence[float], values: Sequence[Estimate | None]) -> None:
    """Draw every interval of a series; a missing score is a dash on the axis."""
    for place, value in zip(places, values, strict=True):
        if value is None:
            axes.annotate(
                *(text.DASH, (place, 0)),
                **{"xytext": (0, 1.5), "textcoords": "offset points"},
                **{"ha": "center", "va": "bottom", "color": INK},
                **{"fontsize": "large", "fontweight": "bold"},
            )
    known = [(p, v) for p, v in zip(places, values, strict=True) if v is not None and v.defined]
    if known:
        spread = [[v.value - v.low for _, v in known], [v.high - v.value for _, v in known]]
        axes.errorbar(
            *([p for p, _ in known], [v.value for _, v in known], spread),
            **{"fmt": "none", "ecolor": INK, "elinewidth": 0.9, "capsize": 1.8, "capthick": 0.9},
            path_effects=HALO,
        )


def _steps(axes: Any, bars: Bars) -> None:
    least = 0.1 if bars.unit == "percent" else 1e-6
    reach = axis_reach(bars.steps.values(), margin=bars.margin, least=least)
    if bars.margin > 0:
        axes.axhspan(-bars.margin, bars.margin, color=LIGHT, alpha=0.7, linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.8)
    for index, series in enumerate(bars.series):
        places = bars.places(index) if len(bars.series) > 2 else range(len(bars.groups))
        for place, group in zip(places, bars.groups, strict=True):
            row = bars.steps.get((series, group))
            if row is not None:
                marker = look(index).marker
                step_mark(axes, place, row, marker=marker, reach=reach, unit=bars.unit)
    axes.set_ylabel(bars.step_label)
    axes.margins(y=0.22)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -1.5 * reach), min(high, 1.5 * reach))
    present = dict.fromkeys(row.verdict for row in bars.steps.values())
    shown = [verdict for verdict in Verdict if verdict in present]
    axes.legend(
        handles=[verdict_key(verdict) for verdict in shown],
        labelcolor=[VERDICT_COLOURS[verdict] for verdict in shown],
        handlelength=0,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        borderaxespad=0.1,
        ncols=6,
        handletextpad=0,
        columnspacing=1.2,
    )


def verdict_key(verdict: Verdict) -> Line2D:
    """Return the key of a verdict: its symbol stands in the words."""
    key = Line2D([], [], linestyle="")
    key.set_label(f"{verdict.symbol} {verdict.value}")
    return key


def one_seed(row: EffectRow) -> bool:
    """Return whether a mark is open: nothing was seen of the spread over training runs."""
    return row.effect.n_seeds < 2 or (not row.effect.defined and not row.invalid)


def step_mark(
    axes: Any, x: float, row: EffectRow, *, marker: str, reach: float, unit: str = "percent"
) -> None:
    """Draw one difference, open where there is one seed, with its verdict's symbol above.

    What lies beyond ``reach`` ends there in an arrow; a value beyond it is told in digits.
    """
    shown = row.shown if row.shown.defined else row.effect
    if math.isnan(shown.value):
        return
    colour = VERDICT_COLOURS[row.verdict]
    top, words = shown.value, row.verdict.symbol
    if shown.defined:
        axes.plot([x, x], [shown.low, shown.high], color=colour, linewidth=1.1)
        top = shown.high
    if abs(shown.value) > reach:
        words = f"{text.signed(shown.value, unit)}\n{words}"
    else:
        face = "white" if one_seed(row) else colour
        axes.plot(x, shown.value, marker=marker, markersize=4.5, color=colour, markerfacecolor=face)
    ends = (shown.low, shown.high) if shown.defined else (shown.value,)
    for end, arrow in ((min(ends), "v"), (max(ends), "^")):
        if abs(end) > reach and (end < 0) == (arrow == "v"):
            axes.plot(x, math.copysign(reach, end), marker=arrow, markersize=4.5, color=colour)
    axes.annotate(
        *(words, (x, min(top, reach))),
        **{"xytext": (0, 3), "textcoords": "offset points", "ha": "center", "va": "bottom"},
        **{"fontsize": 7.5, "color": colour if colour != GREY else INK, "linespacing": 0.9},
    )


def _alt(bars: Bars) -> str:
    parts = []
    for index in range(len(bars.series)):
        last = bars.values(index)[-1]
        if last is not None:
            parts.append(f"{bars.series[index]}: {text.plain(last.value, bars.unit)}")
    return f"Bars for {bars.groups[-1]}: {'; '.join(parts)}. All numbers are in the tables."
