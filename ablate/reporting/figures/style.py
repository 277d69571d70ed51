"""Colours, shapes, sizes and settings of every figure.

Lines and markers take the five Okabe-Ito colours with a contrast of 3:1 on white (WCAG 1.4.11);
orange and sky blue only fill bars, under a dark edge; yellow is not used. Whatever a colour says is
also said by a hatch, a marker or a line style.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ablate.errors import unknown_choice
from ablate.stats.verdicts import Verdict

BLACK, BLUE, VERMILLION = "#000000", "#0072B2", "#D55E00"
GREEN, PURPLE = "#009E73", "#CC79A7"
ORANGE, SKY, GREY, LIGHT = "#E69F00", "#56B4E9", "#767676", "#DDDDDD"
INK = "#222222"

LINES = (BLUE, VERMILLION, GREEN, PURPLE, BLACK)
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
FILLS = (LIGHT, SKY, BLUE, ORANGE, VERMILLION, GREEN, PURPLE, "#FFFFFF")
HATCHES = ("", "//", "", "\\\\", "||", "xx", "--", "++")
"""Lines only: dots and circles weigh 70 kB each in an SVG."""

SETTINGS: Mapping[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    # Hinted text is wider at some resolutions than where it was laid out, and is cut.
    "text.hinting": "no_hinting",
    # Names are no formulas: an odd dollar sign in one would end the report.
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "ablate",
    # Outlines in place of fonts: half of a figure's time was cutting fonts to the letters in use.
    "pdf.fonttype": 3,
    "path.simplify": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}

VERDICT_COLOURS: Mapping[Verdict, str] = {
    Verdict.BETTER: BLUE,
    Verdict.WORSE: VERMILLION,
    Verdict.TRIVIAL: GREEN,
    Verdict.EQUIVALENT: GREEN,
    Verdict.INCONCLUSIVE: GREY,
    Verdict.INVALID: BLACK,
}


@dataclass(frozen=True)
class Look:
    """How one series is told from the others."""

    fill: str
    hatch: str
    line: str
    dash: str
    marker: str


def look(index: int) -> Look:
    """Return the look of the series at ``index``.

    Fill and hatch are distinct up to 16 series, colour and dash up to 20, colour and marker up to
    50.
    """
    return Look(
        fill=FILLS[index % len(FILLS)],
        hatch=HATCHES[(index + index // len(FILLS)) % len(HATCHES)],
        line=LINES[index % len(LINES)],
        dash=DASHES[(index // len(LINES) + index) % len(DASHES)],
        marker=MARKERS[(index + index // len(MARKERS)) % len(MARKERS)],
    )


@dataclass(frozen=True)
class Style:
    """What a figure is made for: its size, and how many lines one page of it holds."""

    name: str
    settings: Mapping[str, Any]
    """Over the settings of every figure."""
    dpi: int
    """Of the PNG."""
    columns: tuple[float, ...] = ()
    """Widths in inches that a figure may have, rising; empty for any."""
    tallest: float = 60.0
    """Inches that a page has room for."""
    is_slide: bool = False
    """Shape 16:9. A slide 13.33 in wide shows a figure of 7.5 in at 1.8 times its size, so that
    text of 9 pt is read as 16 pt."""

    def size(self, width: float, height: float) -> tuple[float, float]:
        """Return width and height in inches of a figure that is ``width`` by ``height`` on screen.

        A paper's figure takes one column or both and keeps the height that its lines of text need.
        """
        if self.is_slide:
            wide = max(SLIDE[0], 0.75 * width, 0.75 * height * SLIDE[0] / SLIDE[1])
            return wide, wide * SLIDE[1] / SLIDE[0]
        if not self.columns:
            return width, height
        fits = [column for column in self.columns if width <= column * _SQUEEZE]
        return (fits or self.columns[-1:])[0], min(height * _PAPER_TEXT / 9, self.tallest)

    def lines(self, each: float, rest: float) -> int:
        """Return how many lines of ``each`` inches a page holds beside ``rest`` inches."""
        shrunk = 0.75 if self.is_slide else _PAPER_TEXT / 9 if self.columns else 1.0
        return max(4, int((self.tallest / shrunk - rest) / each + 1e-9))


SLIDE = (7.5, 7.5 * 9 / 16)
_SQUEEZE = 1.5
"""How much wider than a column a figure may be on screen to fit into it."""
_PAPER_TEXT = 8
SCREEN = "screen"
STYLES: Mapping[str, Style] = {
    SCREEN: Style(SCREEN, {}, 160),
    "paper": Style(
        "paper",
        {
            # Conferences refuse type 3.
            "pdf.fonttype": 42,
            "font.size": _PAPER_TEXT,
            "axes.titlesize": _PAPER_TEXT,
            "axes.labelsize": _PAPER_TEXT,
            "legend.fontsize": 7.5,
            "xtick.labelsize": 7.5,
            "ytick.labelsize": 7.5,
        },
        dpi=300,
        columns=(3.25, 6.75),
        tallest=8.8,
    ),
    "slides": Style("slides", {}, 256, tallest=5.2, is_slide=True),
}
"""By name: ``screen`` for the page, ``paper`` for columns of 3.25 and 6.75 in, ``slides``."""
_CURRENT: ContextVar[Style] = ContextVar("style", default=STYLES[SCREEN])


def current() -> Style:
    """Return the style that figures are drawn in now."""
    return _CURRENT.get()


@contextmanager
def drawn_in(name: str) -> Iterator[Style]:
    """Draw every figure of the block in a style; raises ValueError for an unknown one."""
    if name not in STYLES:
        raise ValueError(unknown_choice("style", name, STYLES))
    token = _CURRENT.set(STYLES[name])
    try:
        yield STYLES[name]
    finally:
        _CURRENT.reset(token)
