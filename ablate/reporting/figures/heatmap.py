"""Differences of every cell on every task as a map: colour for size, marks for what is decided."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.patches import Rectangle

from ablate.reporting import text
from ablate.reporting.figures.labels import lay_out, shortened
from ablate.reporting.figures.save import Drawing, canvas, paged, rendered
from ablate.reporting.figures.style import BLUE, GREY, INK, ORANGE, current
from ablate.stats.verdicts import Verdict

PALE = 0.35
"""Most colour that an undecided difference gets, of what a decided one of its size has."""
MARKS: Mapping[Verdict, str] = {
    Verdict.BETTER: "▲",
    Verdict.WORSE: "▼",
    Verdict.TRIVIAL: "△",
    Verdict.EQUIVALENT: "●",
}
_MAP = LinearSegmentedColormap.from_list("worse-better", [ORANGE, "#FFFFFF", BLUE])
_HATCH = "#C8C8C8"
_ROW, _HEAD = 0.27, 2.5


@dataclass(frozen=True)
class Square:
    """One difference in points, or why there is none."""

    value: float
    """Treatment minus control, as the task counts."""
    good: float
    """The same with its sign turned where less is better."""
    verdict: Verdict
    evidence: float
    """1 where decided; else 1 − adjusted p, and 0 without an interval."""
    has_interval: bool
    reason: str = ""
    """Why the square is blank."""


@dataclass(frozen=True)
class Column:
    """One metric."""

    title: str
    is_group: bool = False
    """Whether it stands over the columns after it, as a category over its tasks."""
    is_apart: bool = False
    """Whether a gap sets it off, as the average."""


@dataclass(frozen=True)
class Heat:
    """Everything that one map shows."""

    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    squares: Mapping[tuple[int, int], Square]
    """By row and column."""
    row_means: tuple[float, ...] = ()
    """Of a row's squares, signs turned to better; empty where a column holds the average."""
    column_means: tuple[float, ...] = ()

    @property
    def limit(self) -> float:
        """Points at which colours end: the 90th percentile of sizes.

        Else one row of another kind, such as the base model, would bleach the others.
        """
        sizes = [abs(s.good) for s in self.squares.values() if math.isfinite(s.good)]
        return max(0.5, math.ceil(2 * float(np.percentile(sizes, 90))) / 2) if sizes else 1.0


def draw_heatmap(heat: Heat, name: str, *, title: str, caption: str) -> Drawing:
    """Return the map; rows that do not fit on one page of the style stand on further ones."""
    most = current().lines(_ROW, _HEAD)
    pages: list[Drawing] = []
    for start in range(0, len(heat.rows), most):
        rows = range(start, min(start + most, len(heat.rows)))
        label = name if not pages else f"{name}-{len(pages) + 1}"
        pages.append(_page(heat, rows, label, texts=(title, caption)))
    return paged(pages)


def _page(heat: Heat, rows: range, name: str, *, texts: tuple[str, str]) -> Drawing:
    places = _places(heat)
    last, limit = rows.stop == len(heat.rows), heat.limit
    names = [shortened(heat.rows[row], 60) for row in rows]
    across = 0.62 if len(places) <= 10 else 0.54
    width = across * (places[-1] + 2) + 0.075 * max(map(len, names)) + 0.3
    height = _ROW * (len(rows) + 1.5) + 1.0 + 0.06 * max(len(c.title) for c in heat.columns)
    with canvas(max(4.5, width), height) as figure:
        axes = figure.subplots()
        _frame(axes, heat, names, places, last=last)
        where: dict[str, Any] = {"location": "bottom", "anchor": (0.0, 1.0), "pad": 0.02}
        where |= {"fraction": 0.05, "shrink": min(0.9, 3 / figure.get_figwidth()), "aspect": 25}
        scale = ScalarMappable(Normalize(-limit, limit), _MAP)
        bar = figure.colorbar(scale, ax=axes, extend=_extend(heat, limit), **where)
        bar.set_label("points, better to the right")
        bar.outline.set_visible(False)
        room = _room(axes)
        for (row, column), square in heat.squares.items():
            if row in rows:
                _draw(axes, square, (places[column], row - rows.start), limit=limit, room=room)
        _margins(axes, heat, rows, places, last=last)
        return rendered(figure, name, title=texts[0], caption=texts[1], alt=_alt(heat, rows))


def _room(axes: Any) -> tuple[float, float]:
    """Return width and height of a square in points, once everything around them is there."""
    lay_out(axes.figure)
    box = axes.get_window_extent()
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    points = 72 / axes.figure.dpi
    return points * box.width / (right - left), points * box.height / abs(high - low)


def _places(heat: Heat) -> list[float]:
    """Return the left edge of each column, in widths of a square."""
    places, at = [], 0.0
    for index, column in enumerate(heat.columns):
        at += 0.25 if index and (column.is_apart or column.is_group) else 0.0
        places.append(at)
        at += 1
    return places


def _extend(heat: Heat, limit: float) -> str:
    values = [s.good for s in heat.squares.values() if math.isfinite(s.good)]
    over, under = any(v > limit for v in values), any(v < -limit for v in values)
    return {(True, True): "both", (True, False): "max", (False, True): "min"}.get(
        (over, under), "neither"
    )


def _draw(
    axes: Any,
    square: Square,
    at: tuple[float, int],
    *,
    limit: float,
    room: tuple[float, float],
) -> None:
    x, y = at
    if square.reason:
        _box(axes, at, (1, 1), facecolor="none", edgecolor=_HATCH, linewidth=0.4)
        size = min(6.0, room[0] / (0.6 * len(square.reason)))
        _write(axes, square.reason.replace(" ", "\n"), at, colour=GREY, fontsize=size)
        return
    decided = square.verdict in (Verdict.BETTER, Verdict.WORSE)
    share = 1.0 if decided else PALE * square.evidence
    colour = _MAP(0.5 + 0.5 * share * max(-1.0, min(1.0, square.good / limit)))
    hatch = "////" if square.verdict is Verdict.INCONCLUSIVE and square.has_interval else None
    look: dict[str, Any] = {"facecolor": colour, "linewidth": 0, "hatch": hatch}
    _box(axes, (x + 0.015, y + 0.03), (0.97, 0.94), edgecolor=_HATCH, **look)
    red, green, blue = to_rgb(colour[:3])
    dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.45
    said, size = _fitted(square, room)
    weight = "bold" if decided else "normal"
    _write(axes, said, at, colour="white" if dark else INK, weight=weight, fontsize=size)


def _fitted(square: Square, room: tuple[float, float]) -> tuple[str, float]:
    """Return a square's text and its size; in narrow columns the mark is above the number."""
    number = text.signed(square.value)
    number = number if square.has_interval else f"({number})"
    mark = MARKS.get(square.verdict, "")
    largest = min(7.5, 0.6 * room[1])
    beside = room[0] / (0.68 * len(f"{mark} {number}".strip()))
    if not mark or beside >= min(6.0, largest):
        return f"{mark} {number}".strip(), min(largest, beside)
    return f"{mark}\n{number}", min(largest, room[1] / 2.3, room[0] / (0.68 * len(number)))


def _box(axes: Any, corner: tuple[float, float], size: tuple[float, float], **look: Any) -> None:
    # Squares lie inside the axes: measuring hundreds of them for the layout takes half a minute.
    axes.add_artist(Rectangle(corner, *size, **look)).set_in_layout(False)


def _write(axes: Any, said: str, at: tuple[float, float], *, colour: str, **look: Any) -> None:
    look = {"fontsize": "small", "linespacing": 1.0, **look}
    centre = at[0] + 0.5, at[1] + 0.5
    axes.text(*centre, said, ha="center", va="center", color=colour, **look).set_in_layout(False)


def _margins(axes: Any, heat: Heat, rows: range, places: Sequence[float], *, last: bool) -> None:
    for row in rows:
        if heat.row_means:
            mean, right = heat.row_means[row], places[-1] + 1.25
            _write(axes, text.signed(mean), (right, row - rows.start), colour=GREY)
    if last:
        for place, mean in zip(places, heat.column_means, strict=False):
            _write(axes, text.signed(mean), (place, len(rows) + 0.25), colour=GREY)


def _frame(
    axes: Any, heat: Heat, names: Sequence[str], places: Sequence[float], *, last: bool
) -> None:
    count, right = len(names), places[-1] + 1
    with_means = bool(heat.row_means)
    axes.set_xlim(-0.05, right + (1.3 if with_means else 0.05))
    axes.set_ylim(count + (1.3 if last and heat.column_means else 0.05), -0.05)
    rows = list(enumerate(names))
    if last and heat.column_means:
        rows.append((count + 0.25, "mean over rows"))  # type: ignore[arg-type]
    axes.set_yticks([row + 0.5 for row, _ in rows], [name for _, name in rows])
    titles = [(place + 0.5, c.title) for place, c in zip(places, heat.columns, strict=True)]
    if with_means:
        titles.append((right + 0.75, "mean over columns"))
    axes.set_xticks([at for at, _ in titles], [said for _, said in titles])
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    for label, column in zip(axes.get_xticklabels(), heat.columns, strict=False):
        label.set_fontweight("bold" if column.is_group or column.is_apart else "normal")
    longest = max(len(line) for _, said in titles for line in said.split("\n"))
    if longest > 7:
        for label in axes.get_xticklabels():
            label.set(rotation=40, ha="left", va="bottom", rotation_mode="anchor")
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)


def _alt(heat: Heat, rows: range) -> str:
    lines = []
    for row in rows:
        said = []
        for index, column in enumerate(heat.columns):
            square = heat.squares[row, index]
            plain = " ".join(column.title.split())
            if square.reason:
                said.append(f"{plain} {square.reason}")
            else:
                said.append(f"{plain} {text.signed(square.value)} {square.verdict.value}")
        lines.append(f"{heat.rows[row]}: {', '.join(said)}")
    return "; ".join(lines) + "."
