"""Colours, shapes and settings of every figure.

Lines and markers take the five Okabe-Ito colours with a contrast of 3:1 on white (WCAG 1.4.11);
orange and sky blue only fill bars, under a dark edge; yellow is not used. Whatever a colour says is
also said by a hatch, a marker or a line style.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ablate.stats.verdicts import Verdict

BLACK, BLUE, VERMILLION = "#000000", "#0072B2", "#D55E00"
GREEN, PURPLE = "#009E73", "#CC79A7"
ORANGE, SKY, GREY, LIGHT = "#E69F00", "#56B4E9", "#767676", "#DDDDDD"
INK = "#222222"

LINES = (BLUE, VERMILLION, GREEN, PURPLE, BLACK)
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
FILLS = (LIGHT, SKY, BLUE, ORANGE, VERMILLION, GREEN, PURPLE, "#FFFFFF")
HATCHES = ("", "//", "", "\\\\", "..", "xx", "--", "oo")

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
    "svg.fonttype": "none",
    "svg.hashsalt": "ablate",
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

    Colour and dash are distinct up to 20 series, colour and marker up to 50.
    """
    return Look(
        fill=FILLS[index % len(FILLS)],
        hatch=HATCHES[index % len(HATCHES)],
        line=LINES[index % len(LINES)],
        dash=DASHES[(index // len(LINES) + index) % len(DASHES)],
        marker=MARKERS[(index + index // len(MARKERS)) % len(MARKERS)],
    )
