"""Figures as files, byte for byte the same for the same numbers."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ablate.reporting.figures.style import SETTINGS

DPI = 160


@dataclass(frozen=True)
class Drawing:
    """One finished figure."""

    name: str
    """File name without ending."""
    title: str
    caption: str
    """Says what the bars and whiskers are."""
    alt: str
    """What a reader who cannot see it needs."""
    width: int
    """Natural width in CSS pixels."""
    svg: bytes
    png: bytes


@contextmanager
def canvas(width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure (inches) under the house settings; no global state is left behind."""
    with matplotlib.rc_context(dict(SETTINGS)), warnings.catch_warnings():
        # A name may hold what the font lacks; the figure shows a box, the tables the name.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def rendered(figure: Figure, name: str, *, title: str, caption: str, alt: str) -> Drawing:
    """Return the figure as SVG and PNG; call inside `canvas`."""
    svg, png = io.BytesIO(), io.BytesIO()
    engine = figure.get_layout_engine()
    if engine is not None:  # Lay out once, not at every draw: that is half of the time.
        engine.execute(figure)
        figure.set_layout_engine("none")
    figure.savefig(svg, format="svg", metadata={"Date": None, "Title": title})
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    width = round(96 * figure.get_figwidth())
    return Drawing(name, title, caption, alt, width, svg.getvalue(), png.getvalue())
