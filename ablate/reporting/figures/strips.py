"""Every seed of every cell as a point: what the means are means of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from ablate.reporting import text
from ablate.reporting.figures.bars import NOT_FINAL
from ablate.reporting.figures.legends import legend_above
from ablate.reporting.figures.rows import Page, name_lines, pages_of, renamed
from ablate.reporting.figures.save import Drawing, canvas, paged, rendered
from ablate.reporting.figures.style import BLUE, GREY, INK, VERMILLION
from ablate.stats.estimate import Estimate

WIDTH = 8.0
MEAN, SEEDS = 0.22, (-0.36, -0.06)
"""Where in a line the mean and the seeds are, downwards from its middle."""
ALL_SHOWN = 10
"""Below this many seeds each is a mark of its own; from it on they are small and overlap."""


@dataclass(frozen=True)
class Strip:
    """The scores of one cell."""

    cell: str
    seeds: Mapping[int, float]
    score: Estimate
    invalid: frozenset[int] = frozenset()
    """Seeds whose evaluation cannot be trusted; drawn as crosses."""
    is_published: bool = False
    is_final: bool = True


def draw_strips(
    strips: Sequence[Strip],
    name: str,
    *,
    label: str,
    unit: str,
    baseline: tuple[str, float] | None,
) -> Drawing:
    """Return a line a cell: a point a seed, the mean with its interval, the baseline's mean."""
    named = [(strip.cell + ("" if strip.is_final else " *"), strip) for strip in strips]
    pages = pages_of([("", named)], WIDTH)
    low, high = _range(strips)
    drawn = []
    for number, page in enumerate(pages):
        with canvas(WIDTH, page.inches + 0.3) as figure:
            axes = figure.subplots()
            if baseline is not None:
                axes.axvline(baseline[1], color=GREY, linestyle="--", linewidth=0.9)
            for place, strip in page.rows:
                draw_strip(axes, place, strip)
            axes.set_xlim(low, high)
            axes.set_xlabel(label)
            name_lines(axes, page)
            legend_above(figure, _keys(strips, baseline))
            if not all(strip.is_final for strip in strips):
                figure.supxlabel(NOT_FINAL, x=0.01, ha="left", fontsize="medium")
            title = "Every seed"
            if len(pages) > 1:
                title += f", page {number + 1} of {len(pages)}"
            stem, alt = renamed(number, name), _alt(page, unit)
            drawn.append(rendered(figure, stem, title=title, caption=_CAPTION, alt=alt))
    return paged(drawn)


_CAPTION = (
    "Points: single seeds. Diamonds: their mean with its 95 % interval, over items and seeds, or"
    " over items only where there is one seed (open). Intervals of single cells do not decide"
    " between cells: paired differences do. The axis does not start at 0."
)

EQUAL = 1e-9
"""Scores no further apart than this, in points, are one."""


def _range(strips: Sequence[Strip]) -> tuple[float, float]:
    """Return the axis' ends; intervals far wider than the scores' range are cut."""
    values = [value for strip in strips for value in strip.seeds.values()]
    low, high = min(values), max(values)
    room = high - low if high - low > EQUAL else math.inf
    bounds = [s.score for s in strips if s.score.defined]
    ends = [*(s.low for s in bounds), *(s.high for s in bounds), low, high]
    left, right = max(min(ends), low - room), min(max(ends), high + room)
    # Where all are equal an axis of rounding errors would show ticks of 1e-11 of a point.
    pad = 0.04 * (right - left) if right - left > EQUAL else 0.5
    return left - pad, right + pad


def draw_strip(axes: Any, place: float, strip: Strip) -> None:
    """Draw the seeds above and the mean with its interval below, so that none covers another."""
    score = strip.score
    if score.defined:
        axes.plot([score.low, score.high], [place + MEAN] * 2, color=INK, linewidth=1.3)
    many = len(strip.seeds) >= ALL_SHOWN
    heights = np.linspace(*SEEDS, max(2, len(strip.seeds)))
    if strip.is_published:
        heights = np.zeros(len(strip.seeds))
    for (seed, value), up in zip(sorted(strip.seeds.items()), heights, strict=False):
        bad = seed in strip.invalid
        axes.plot(
            *(value, place + float(up), "x" if bad else "s" if strip.is_published else "o"),
            **{"color": VERMILLION if bad else BLUE, "markerfacecolor": "white"},
            **{"markersize": 2.5 if many else 4.0, "markeredgewidth": 1.0},
        )
    if not strip.is_published and not np.isnan(score.value):
        face = INK if len(strip.seeds) > 1 else "white"
        axes.plot(score.value, place + MEAN, "D", color=INK, markerfacecolor=face, markersize=4.5)


def _keys(strips: Sequence[Strip], baseline: tuple[str, float] | None) -> list[Line2D]:
    def key(marker: str, colour: str, face: str, label: str) -> Line2D:
        line = Line2D([], [], linestyle="", marker=marker, color=colour, markerfacecolor=face)
        line.set_label(label)
        return line

    keys = [key("o", BLUE, "white", "a seed"), key("D", INK, INK, "mean, 95 % interval")]
    if any(len(s.seeds) == 1 and not s.is_published for s in strips):
        keys.append(key("D", INK, "white", "the same of one seed: items only"))
    if any(strip.is_published for strip in strips):
        keys.append(key("s", BLUE, "white", "published"))
    if any(strip.invalid for strip in strips):
        keys.append(key("x", VERMILLION, "white", "invalid"))
    if baseline is not None:
        line = Line2D([], [], color=GREY, linestyle="--", linewidth=0.9)
        line.set_label(f"mean of {baseline[0]}")
        keys.append(line)
    return keys


def _alt(page: Page[Strip], unit: str) -> str:
    return "; ".join(
        f"{strip.cell}: {', '.join(text.plain(v, unit) for _, v in sorted(strip.seeds.items()))}"
        for _, strip in page.rows
    )
