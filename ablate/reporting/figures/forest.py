"""The effects against the baseline, one line each, with their numbers beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ablate.reporting import text
from ablate.reporting.effects import EffectRow
from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import INK, LIGHT, VERDICT_COLOURS
from ablate.stats.verdicts import Verdict

COLUMNS = ("items", "seeds", "Δ [95 % CI]", "adj. p", "verdict")
PLACES = (0.06, 0.18, 0.24, 0.66, 0.8)


def draw_forest(
    rows: Sequence[EffectRow], name: str, *, unit: str, margin: float, caption: str
) -> Drawing:
    """Return the forest plot; thick bars are 50 % intervals, open markers decide nothing.

    Expects rows of one metric and one kind, in reading order, and a margin of 0 for none.
    """
    title = f"Effects on {text.label(rows[0].metric)}"
    height = 1.3 + 0.34 * len(rows)
    # Long cell names take their room beside the numbers, not from them.
    width = 9.5 + 0.055 * max(len(row.label) for row in rows)
    with canvas(width, height) as figure:
        left, right = figure.subplots(1, 2, width_ratios=[3, 3.2])
        _effects(left, rows, margin, unit)
        _numbers(right, rows, unit)
        for axes in (left, right):
            axes.set_ylim(len(rows) - 0.4, -1.0)
        return rendered(figure, name, title=title, caption=caption, alt=_alt(rows, unit))


def _effects(axes: Any, rows: Sequence[EffectRow], margin: float, unit: str) -> None:
    if margin > 0:
        axes.axvspan(-margin, margin, color=LIGHT, alpha=0.8, linewidth=0)
    axes.axvline(0, color=INK, linewidth=0.9)
    smallest = 0.1 if unit == "percent" else 1e-6
    reach = max([_reach(row) for row in rows] + [1.3 * margin if margin > 0 else 0.0, smallest])
    for place, row in enumerate(rows):
        _line(axes, place, row)
    axes.set_xlim(-1.08 * reach, 1.08 * reach)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    measure = "points" if unit == "percent" else unit
    band = "; grey: below the margin" if margin > 0 else ""
    axes.set_xlabel(f"difference in {measure}{band}")


def _reach(row: EffectRow) -> float:
    shown = row.shown
    ends = (shown.low, shown.high) if shown.defined else (row.effect.value,)
    return max((abs(end) for end in ends if not math.isnan(end)), default=0.0)


def _line(axes: Any, place: int, row: EffectRow) -> None:
    shown = row.shown if row.shown.defined else row.effect
    colour = VERDICT_COLOURS[row.verdict]
    if shown.defined:
        axes.plot([shown.low, shown.high], [place, place], color=colour, linewidth=1.2)
        axes.plot(list(shown.bounds(0.5)), [place, place], color=colour, linewidth=3.6)
    decided = row.effect.defined and row.verdict not in (Verdict.INCONCLUSIVE, Verdict.INVALID)
    face = colour if decided else "white"
    axes.plot(shown.value, place, "o", color=colour, markerfacecolor=face, markersize=6)


def _numbers(axes: Any, rows: Sequence[EffectRow], unit: str) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    for x, title in zip(PLACES, COLUMNS, strict=True):
        axes.text(x, -0.75, title, fontweight="bold", ha=_side(x), va="center", fontsize=8.5)
    for place, row in enumerate(rows):
        shown = row.shown if row.shown.defined else row.effect
        one_seed = "*" if shown.n_seeds < 2 else ""
        cells = (
            str(shown.n_items),
            f"{row.effect.n_seeds}{one_seed}",
            text.effect(shown, unit),
            text.p_text(row.p_adjusted),
            f"{row.verdict.symbol} {row.verdict.value}",
        )
        for x, cell in zip(PLACES, cells, strict=True):
            axes.text(x, place, cell, ha=_side(x), va="center", fontsize=8.5)


def _side(x: float) -> str:
    return "right" if x < 0.2 else "left"


def _alt(rows: Sequence[EffectRow], unit: str) -> str:
    return "; ".join(f"{r.label}: {text.effect(r.shown, unit)}, {r.verdict.value}" for r in rows)
