"""Effects by family, one line each, with their numbers beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.ticker import MultipleLocator

from ablate.reporting import text
from ablate.reporting.effects import EffectRow
from ablate.reporting.figures.bars import one_seed
from ablate.reporting.figures.legends import text_inches
from ablate.reporting.figures.reach import axis_reach, ends_of
from ablate.reporting.figures.rows import (
    LABEL_SHARE,
    Page,
    name_lines,
    pages_of,
    renamed,
    write_headings,
)
from ablate.reporting.figures.save import Drawing, canvas, paged, rendered
from ablate.reporting.figures.style import INK, LIGHT, VERDICT_COLOURS, current

COLUMNS = ("n", "S", "Δ [95 % CI]", "adj. p", "verdict")
GAP = 0.14
"""Inches between columns."""
WIDTH = 10.5
MOST_MINOR_TICKS = 25


def draw_forest(
    groups: Sequence[tuple[str, Sequence[EffectRow]]],
    name: str,
    *,
    unit: str,
    margin: float,
    caption: str,
) -> Drawing:
    """Return the forest plot; thick bars are 50 % intervals, arrows are intervals that go on.

    Expects headings with rows of one metric, in reading order, and a margin of 0 for none. Every
    page has the same axis.
    """
    rows = [row for _, members in groups for row in members]
    title = f"Effects on {text.label(rows[0].metric)}"
    smallest = 0.1 if unit == "percent" else 1e-6
    reach = axis_reach(rows, margin=margin, least=smallest)
    pages = pages_of([(head, [(r.label, r) for r in found]) for head, found in groups], WIDTH)
    drawn = []
    for number, page in enumerate(pages):
        with canvas(WIDTH, page.inches) as figure:
            size = 0.93 * float(matplotlib.rcParams["ytick.labelsize"])
            table = [_cells(row, unit) for row in rows]
            widths = [_column(table, place, size) for place in range(len(COLUMNS))]
            numbers = sum(widths) + GAP * len(widths)
            plot = max(1.2, (0.98 - LABEL_SHARE) * figure.get_figwidth() - numbers)
            left, right = figure.subplots(1, 2, width_ratios=[plot, numbers])
            _effects(left, page, reach=reach, margin=margin, unit=unit)
            _numbers(right, page, widths, size=size, unit=unit)
            alt = _alt([row for _, row in page.rows], unit)
            said = title if len(pages) == 1 else f"{title}, page {number + 1} of {len(pages)}"
            stem = renamed(number, name)
            drawn.append(rendered(figure, stem, title=said, caption=caption, alt=alt))
    return paged(drawn)


def _effects(axes: Any, page: Page[EffectRow], *, reach: float, margin: float, unit: str) -> None:
    if margin > 0:
        axes.axvspan(-margin, margin, color=LIGHT, alpha=0.8, linewidth=0)
    axes.axvline(0, color=INK, linewidth=0.9)
    for place, row in page.rows:
        _line(axes, place, row, reach)
    axes.set_xlim(-1.06 * reach, 1.06 * reach)
    if unit == "percent" and reach <= MOST_MINOR_TICKS:
        axes.xaxis.set_minor_locator(MultipleLocator(1))
    name_lines(axes, page, columns=True)
    write_headings(axes, page)
    measure = "points" if unit == "percent" else unit
    band = "; grey: below the margin" if margin > 0 and not current().columns else ""
    axes.set_xlabel(f"difference in {measure}{band}")


def _line(axes: Any, place: float, row: EffectRow, reach: float) -> None:
    shown = row.shown if row.shown.defined else row.effect
    colour = VERDICT_COLOURS[row.verdict]
    if shown.defined:
        for ends, width in (((shown.low, shown.high), 1.2), (shown.bounds(0.5), 3.6)):
            low, high = (min(max(end, -reach), reach) for end in ends)
            axes.plot([low, high], [place, place], color=colour, linewidth=width)
    for end in ends_of(row):
        if abs(end) > reach:
            arrow = "<" if end < 0 else ">"
            axes.plot(math.copysign(reach, end), place, arrow, color=colour, markersize=6)
    if abs(shown.value) <= reach:
        face = "white" if one_seed(row) else colour
        axes.plot(shown.value, place, "o", color=colour, markerfacecolor=face, markersize=5.5)


def _cells(row: EffectRow, unit: str) -> tuple[str, ...]:
    shown = row.shown if row.shown.defined else row.effect
    return (
        str(shown.n_items) if shown.n_items else text.DASH,
        f"{row.effect.n_seeds}{'*' if one_seed(row) else ''}",
        text.effect(shown, unit),
        text.p_text(row.p_adjusted),
        f"{row.verdict.symbol} {row.verdict.value}",
    )


def _column(table: Sequence[tuple[str, ...]], place: int, size: float) -> float:
    """Return the inches that a column needs; bold titles are a tenth wider."""
    words = {cells[place] for cells in table}
    return max(1.1 * text_inches(COLUMNS[place], size), *(text_inches(w, size) for w in words))


def _numbers(
    axes: Any, page: Page[EffectRow], widths: Sequence[float], *, size: float, unit: str
) -> None:
    axes.set_axis_off()
    axes.set_ylim(page.height + 0.15, -0.9)
    total = sum(widths) + GAP * len(widths)
    axes.set_xlim(0, total)
    start = GAP / 2
    for place, (title, width) in enumerate(zip(COLUMNS, widths, strict=True)):
        x, side = (start + width, "right") if place < 2 else (start, "left")
        heads = {"ha": side, "va": "center", "fontsize": size}
        axes.text(x, -0.45, title, fontweight="bold", **heads)
        for line, row in page.rows:
            axes.text(x, line, _cells(row, unit)[place], **heads)
        start += width + GAP


def _alt(rows: Sequence[EffectRow], unit: str) -> str:
    return "; ".join(f"{r.label}: {text.effect(r.shown, unit)}, {r.verdict.value}" for r in rows)
