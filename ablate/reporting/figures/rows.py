"""Lines of a chart under headings, over as many pages as they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import matplotlib

from ablate.reporting.figures.legends import fitted
from ablate.reporting.figures.style import current

R = TypeVar("R")
LINE = 0.27
"""Inches on screen of a line with one row of text."""
MORE = 0.47
"""Of a line, for each further row of its name."""
REST = 1.25
"""Inches for axes and their labels."""
LABEL_SHARE = 0.28
"""Of a figure's width that names may take."""


@dataclass(frozen=True)
class Line(Generic[R]):
    """A heading where it has no row, else a name with what is drawn beside it."""

    name: str
    row: R | None = None
    place: float = 0.0
    """Downwards from the page's top, in lines."""


@dataclass(frozen=True)
class Page(Generic[R]):
    """The lines of one page."""

    lines: tuple[Line[R], ...]
    height: float
    """In lines."""

    @property
    def rows(self) -> list[tuple[float, R]]:
        """Return each row with its place."""
        return [(line.place, line.row) for line in self.lines if line.row is not None]

    @property
    def inches(self) -> float:
        """Height on screen."""
        return REST + LINE * self.height


def pages_of(groups: Sequence[tuple[str, Sequence[tuple[str, R]]]], width: float) -> list[Page[R]]:
    """Return pages for groups of (heading, named rows) on a figure ``width`` inches wide on screen.

    Names are broken into rows that fit; a page that a group goes on to repeats its heading. An
    empty heading takes no line.
    """
    wide, _ = current().size(width, 1.0)
    size = 8.5 if wide == width else 7.5
    limit = current().lines(LINE, REST)
    pages: list[Page[R]] = []
    lines: list[Line[R]] = []
    at = 0.0
    for heading, rows in groups:
        opened = False
        for name, row in rows:
            label = fitted(name, LABEL_SHARE * wide, size)
            tall = 1 + MORE * label.count("\n")
            need = tall + (bool(heading) and not opened) * 1.3
            if lines and at + need > limit:
                pages.append(Page(tuple(lines), at))
                lines, at = [], 0.0
                heading = f"{heading.removesuffix(_ON)}{_ON}" if opened and heading else heading
                opened = False
            if heading and not opened:
                lines.append(Line(heading, None, at + 0.75))
                at += 1.3
            opened = True
            lines.append(Line(label, row, at + tall / 2))
            at += tall
    return [*pages, Page(tuple(lines), at)] if lines else pages


_ON = " (continued)"


def name_lines(axes: Any, page: Page[R], *, columns: bool = False) -> None:
    """Write names and headings of a page at the left of an axis, and set its vertical range.

    ``columns`` leaves room above the first line for titles of columns.
    """
    rows = [line for line in page.lines if line.row is not None]
    axes.set_yticks([line.place for line in rows], [line.name for line in rows])
    axes.set_ylim(page.height + 0.15, -0.9 if columns else -0.1)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)


def write_headings(axes: Any, page: Page[R]) -> None:
    """Write the headings of a page from the figure's left edge on."""
    size = float(matplotlib.rcParams["ytick.labelsize"])
    for line in page.lines:
        if line.row is None:
            words = axes.annotate(
                *(line.name, (0.0, line.place)),
                **{"xycoords": ("figure fraction", "data"), "annotation_clip": False},
                **{"xytext": (4, 0), "textcoords": "offset points", "va": "center", "ha": "left"},
                **{"fontsize": size, "fontweight": "bold"},
            )
            words.set_in_layout(False)  # It may cross the axis, where its line is empty.


def renamed(number: int, name: str) -> str:
    """Return the file name of a page: the first has the figure's own."""
    return name if number == 0 else f"{name}-{number + 1}"
