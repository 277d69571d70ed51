"""The additive chart as a sequence of slides that reveals one series a frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ablate.reporting import text
from ablate.reporting.figures.bars import (
    NOT_FINAL,
    Bars,
    draw_scores,
    group_axis,
    swatch,
)
from ablate.reporting.figures.legends import HANDLE, fitted, text_inches, wrapped
from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import INK, SLIDE, VERDICT_COLOURS, drawn_in, look

TITLE, LEGEND, BODY = 15.0, 8.5, 8.5
"""Points on a figure 7.5 in wide: 1.8 times that on a slide of 13.33 in."""
EDGE = 0.02
BOLD = 1.15
"""How much wider bold text is."""
SMALLEST_TITLE = 10.0
MOST_LINES = 5
_LINE = 1.45
"""Height of a line of text in units of its size."""


@dataclass(frozen=True)
class Step:
    """What is said beside one frame."""

    title: str
    bullets: tuple[str, ...]
    outcome: tuple[str, ...]
    """How the new series compares with the one before, in words and numbers."""


def draw_frames(bars: Bars, steps: Sequence[Step], name: str) -> tuple[Drawing, ...]:
    """Return one slide a series, ``name/00`` on; axes, legend and places are equal in all.

    Frame k holds the first k + 1 series; the legend names all of them from the first frame on.
    """
    with drawn_in("slides"):
        return tuple(
            _frame(bars, step, index, f"{name}/{index:02d}") for index, step in enumerate(steps)
        )


def _frame(bars: Bars, step: Step, index: int, name: str) -> Drawing:
    with canvas(*SLIDE) as figure:
        figure.set_layout_engine("none")
        _title(figure, bars, step, index)
        below = _legend(figure, bars)
        axes = figure.add_axes((0.075, 0.325, 0.915, below - 0.345))
        draw_scores(axes, bars, revealed=index + 1)
        group_axis(figure, (axes,), bars, bars.groups)
        _symbols(axes, bars, index)
        _words(figure, bars, step, index)
        shown = bars.name(index)
        last = bars.values(index)[-1]
        score = text.DASH if last is None else text.plain(last.value)
        alt = f"{index + 1} of {len(bars.series)} series. {shown}: {bars.groups[-1]} {score}."
        caption = "Bars: mean score; whiskers: 95 % interval where one is known."
        return rendered(figure, name, title=step.title, caption=caption, alt=alt)


def _title(figure: Figure, bars: Bars, step: Step, index: int) -> None:
    style, (wide, high) = look(index), figure.get_size_inches()
    size, room = TITLE, 0.86 * wide / BOLD
    while size > SMALLEST_TITLE and text_inches(step.title, size) > room:
        size -= 0.5
    lines = fitted(step.title, room, size).split("\n")
    words = lines[0] if len(lines) == 1 else f"{lines[0]} …"
    figure.text(EDGE, 0.955, words, fontsize=size, fontweight="bold", va="center", ha="left")
    end = EDGE + BOLD * text_inches(words, size) / wide + 0.015
    key = Rectangle((min(end, 0.93), 0.955 - 0.11 / high), 0.38 / wide, 0.22 / high)
    key.set(facecolor=style.fill, hatch=style.hatch, edgecolor=INK, linewidth=0.8)
    figure.add_artist(key)


def _legend(figure: Figure, bars: Bars) -> float:
    """Draw the legend of every series and return where it ends, as a share of the height."""
    handles = [swatch(bars, place) for place in range(len(bars.series))]
    for handle in handles:
        handle.set_label(wrapped(str(handle.get_label()), 40, lines=1))
    widest = max(text_inches(str(handle.get_label()), LEGEND) for handle in handles)
    fit = max(1, int((figure.get_figwidth() - 0.2) / (widest + HANDLE * LEGEND / 72)))
    rows = math.ceil(len(handles) / fit)
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.0, 0.925),
        ncols=math.ceil(len(handles) / rows),
        fontsize=LEGEND,
    )
    return 0.925 - (rows + 0.6) * _LINE * LEGEND / 72 / figure.get_figheight()


def _symbols(axes: Any, bars: Bars, index: int) -> None:
    """Mark the new bars with the verdicts of their differences to the bars before."""
    places = bars.places(index)
    for place, group, value in zip(places, bars.groups, bars.values(index), strict=True):
        row = bars.steps.get((bars.series[index], group))
        if row is None or value is None:
            continue
        axes.annotate(
            *(row.verdict.symbol, (place, value.high if value.defined else value.value)),
            **{"xytext": (0, 2), "textcoords": "offset points", "ha": "center", "va": "bottom"},
            **{"fontsize": 8.5, "color": VERDICT_COLOURS[row.verdict], "annotation_clip": False},
        )


def _words(figure: Figure, bars: Bars, step: Step, index: int) -> None:
    wide = figure.get_figwidth()
    for left, lines in ((EDGE, step.bullets), (0.5, step.outcome)):
        words = "\n".join(fitted(line, 0.46 * wide, BODY) for line in lines)
        kept = words.split("\n")[:MOST_LINES]
        figure.text(left, 0.225, "\n".join(kept), fontsize=BODY, va="top", linespacing=1.25)
    if bars.not_final & set(bars.series[: index + 1]):
        figure.text(EDGE, 0.015, NOT_FINAL, fontsize=BODY, va="bottom")
