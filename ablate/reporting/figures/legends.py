"""Names in the room that a figure has for them."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

LETTER = 0.6
"""Mean width of a letter of the sans-serif face, in units of its size."""
HANDLE = 3.6
"""Room for a legend's key and the gap beside it, in units of the text's size."""
LONGEST_LINE = 34
POINTS = 72


def text_inches(words: str, size: float) -> float:
    """Return how wide a line of text is, at ``size`` points."""
    face = FontProperties(family=matplotlib.rcParams["font.sans-serif"][0], size=size)
    with warnings.catch_warnings():
        # As in figures.save: what the font lacks is drawn, and measured, as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        width, _, _ = text_to_path.get_text_width_height_descent(words, face, ismath=False)
    return float(width) / POINTS


def letters_in(inches: float, size: float) -> int:
    """Return how many letters of ``size`` points a line holds, at least 6."""
    return max(6, int(inches * POINTS / (LETTER * size)))


def wrapped(words: str, letters: int, *, lines: int = 3) -> str:
    """Return the words in lines of at most ``letters``, cut with … after so many lines."""
    found = textwrap.wrap(
        words, letters, max_lines=lines, placeholder=" …", break_on_hyphens=len(words) > letters
    )
    return "\n".join(found) or words[:letters]


def fitted(words: str, inches: float, size: float) -> str:
    """Return the words in lines that are no wider than ``inches``; only long words are broken."""
    lines = []
    for line in textwrap.wrap(words, letters_in(inches, size), break_long_words=False):
        while text_inches(line, size) > inches and len(line) > 4:
            fits = next(n for n in range(len(line) - 1, 0, -1) if _fits(line[:n], inches, size))
            lines.append(line[:fits])
            line = line[fits:]
        lines.append(line)
    return "\n".join(lines)


def _fits(words: str, inches: float, size: float) -> bool:
    return len(words) < 3 or text_inches(words, size) <= inches


def longest_line(labels: Sequence[str]) -> int:
    """Return the number of letters of the longest line of any label."""
    return max((len(line) for label in labels for line in label.split("\n")), default=0)


def legend_above(figure: Figure, handles: Sequence[Any]) -> None:
    """Put a legend above everything, in as many columns as the figure's width has room for."""
    size = float(matplotlib.rcParams["legend.fontsize"])
    for handle in handles:
        handle.set_label(wrapped(str(handle.get_label()), LONGEST_LINE, lines=2))
    lines = [line for handle in handles for line in str(handle.get_label()).split("\n")]
    width = max(text_inches(line, size) for line in lines) + HANDLE * size / POINTS
    fit = max(1, int((figure.get_figwidth() - 0.2) / width))
    rows = math.ceil(len(handles) / fit)
    figure.legend(
        handles=list(handles), loc="outside upper left", ncols=math.ceil(len(handles) / rows)
    )
