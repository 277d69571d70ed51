"""Labels beside points and lines that cover neither each other nor what is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.transforms import Bbox

from ablate.reporting.figures.style import INK
from ablate.stats.estimate import FloatArray

_GAP = 5.0
"""Points between a mark and its label."""
_CLEAR = 1.8
"""How many times farther every other mark must be for a label to be read as one mark's."""
_AROUND = (
    *((-1, 1), (1, 1), (1, -1), (-1, -1), (0, 1), (0, -1), (-1, 0), (1, 0)),
    *((-1, 2), (1, 2), (1, -2), (-1, -2), (0, 2), (0, -2), (-1, 3), (1, 3), (0, 3), (0, -3)),
)
"""Places to try, in widths and heights of the gap; the first that is free is taken."""


@dataclass(frozen=True)
class Label:
    """A text that belongs to a point in data coordinates."""

    x: float
    y: float
    text: str
    colour: str = INK


def shortened(name: str, most: int = 44) -> str:
    """Return a name with its middle left out where it is longer than a figure has room for."""
    if len(name) <= most:
        return name
    head = (most - 1) * 2 // 3
    return f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"


def place_labels(axes: Any, labels: Sequence[Label], *, avoid: Sequence[Label] = ()) -> int:
    """Write each label at the first free place beside its point; return how many found one.

    Labels and the points of ``avoid`` are kept clear, as are the axes' edges. A label without a
    free place is left out, so that none covers another: the tables have every name. Call when
    limits and titles are set, because it lays the figure out.
    """
    figure = axes.figure
    lay_out(figure)
    renderer = figure.canvas.get_renderer()
    inside = axes.get_window_extent(renderer)
    per_point = figure.dpi / 72
    marks = [_around(axes, label, 3.5 * per_point) for label in (*labels, *avoid)]
    taken, placed = list(marks), 0
    for own, label in enumerate(labels):
        # Nearer to its own mark than to any other, if there is such a place.
        tries = [(place, strict) for strict in (True, False) for place in _places()]
        for (offset, sides), strict in tries:
            text = _written(axes, label, offset=offset, sides=sides)
            box = text.get_window_extent(renderer)
            free = _inside(box, inside) and not any(box.overlaps(other) for other in taken)
            if free and (not strict or _is_clear(box, marks, own)):
                taken.append(box)
                placed += 1
                break
            text.remove()
    return placed


def _is_clear(box: Bbox, marks: Sequence[Bbox], own: int) -> bool:
    """Whether a text is much nearer to its own mark than to every other."""
    distances = []
    for mark in marks:
        x, y = (mark.x0 + mark.x1) / 2, (mark.y0 + mark.y1) / 2
        across, up = max(box.x0 - x, 0, x - box.x1), max(box.y0 - y, 0, y - box.y1)
        distances.append(float(np.hypot(across, up)))
    others = [distance for index, distance in enumerate(distances) if index != own]
    return not others or _CLEAR * distances[own] <= min(others)


def _places() -> Iterator[tuple[tuple[float, float], tuple[str, str]]]:
    for right, up in _AROUND:
        sides = (
            {1: "left", -1: "right", 0: "center"}[right],
            "center" if up == 0 else "bottom" if up > 0 else "top",
        )
        yield (right * _GAP, up * _GAP), sides


def _written(
    axes: Any, label: Label, *, offset: tuple[float, float], sides: tuple[str, str]
) -> Any:
    text = axes.annotate(
        label.text,
        xy=(label.x, label.y),
        xytext=offset,
        textcoords="offset points",
        ha=sides[0],
        va=sides[1],
        fontsize="small",
        color=label.colour,
        zorder=6,
        bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
    )
    text.set_in_layout(False)
    return text


def _around(axes: Any, label: Label, half: float) -> Bbox:
    x, y = axes.transData.transform((label.x, label.y))
    return Bbox.from_extents(x - half, y - half, x + half, y + half)


def _inside(box: Bbox, frame: Bbox) -> bool:
    return bool(
        box.x0 >= frame.x0 and box.x1 <= frame.x1 and box.y0 >= frame.y0 and box.y1 <= frame.y1
    )


def end_labels(axes: Any, labels: Sequence[Label]) -> None:
    """Write labels right of the axes in the order of their points, joined to them by thin lines."""
    if not labels:
        return
    lay_out(axes.figure)
    height = axes.get_window_extent().height / axes.figure.dpi * 72
    size = _font_points(axes)
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [to_axes.transform((label.x, label.y)) for label in labels]
    heights = spread(np.array([end[1] for end in ends]), 1.25 * size / height)
    for label, end, at in zip(labels, ends, heights, strict=True):
        axes.annotate(
            label.text,
            xy=tuple(end),
            xycoords="axes fraction",
            xytext=(1.05, at),
            textcoords="axes fraction",
            va="center",
            fontsize="small",
            color=label.colour,
            annotation_clip=False,
            arrowprops={
                **{"arrowstyle": "-", "color": label.colour, "linewidth": 0.5},
                **{"shrinkA": 1, "shrinkB": 1, "relpos": (0, 0.5)},
            },
        )
    for _ in range(2):  # What the labels need narrows the axes, which moves the labels.
        lay_out(axes.figure)


def spread(wanted: FloatArray, least: float) -> FloatArray:
    """Return heights at least ``least`` apart in the order of those wanted, moved little."""
    order = np.argsort(wanted, kind="stable")
    heights = np.asarray(wanted, np.float64)[order].copy()
    steps = np.arange(len(heights)) * least
    # Without the steps the heights must not fall; pooling neighbours that do moves them least.
    level = _isotonic(heights - steps) + steps
    placed = np.empty(len(level))
    placed[order] = level
    return placed


def _isotonic(values: FloatArray) -> FloatArray:
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, count = float(value), 1
        while blocks and blocks[-1][0] > mean:
            before, many = blocks.pop()
            mean, count = (before * many + mean * count) / (many + count), many + count
        blocks.append((mean, count))
    return np.array([mean for mean, count in blocks for _ in range(count)])


def lay_out(figure: Any) -> None:
    """Place everything as it will stand, so that it can be measured."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


def _font_points(axes: Any) -> float:
    probe = axes.text(0, 0, "", fontsize="small")
    size = float(probe.get_fontsize())
    probe.remove()
    return size
