"""Figures as files, byte for byte the same for the same numbers."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ablate.reporting.figures.style import SETTINGS, current

_POINTS = 72
"""Dots per inch of the vector formats."""


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
    pdf: bytes
    pages: tuple[Drawing, ...] = ()
    """Further pages, where one does not hold all; each has a name of its own."""

    @property
    def files(self) -> dict[str, bytes]:
        """Content by file name, further pages included."""
        mine = {"svg": self.svg, "pdf": self.pdf, "png": self.png}
        found = {f"{self.name}.{ending}": content for ending, content in mine.items()}
        for page in self.pages:
            found |= page.files
        return found


def paged(drawings: Sequence[Drawing]) -> Drawing:
    """Return the first drawing with the others as its further pages."""
    return replace(drawings[0], pages=tuple(drawings[1:]))


@contextmanager
def canvas(width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure under the house settings; no global state is left behind.

    Width and height are inches on screen; the current style makes its own of them.
    """
    style = current()
    settings = {**SETTINGS, **style.settings}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # A name may hold what the font lacks; the figure shows a box, the tables the name.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=style.size(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def rendered(figure: Figure, name: str, *, title: str, caption: str, alt: str) -> Drawing:
    """Return the figure as SVG, PNG and PDF; call inside `canvas`."""
    svg, png, pdf = io.BytesIO(), io.BytesIO(), io.BytesIO()
    engine = figure.get_layout_engine()
    if engine is not None:  # Lay out once, not at every draw: that is half of the time.
        engine.execute(figure)
        figure.set_layout_engine("none")
    # The formats' own canvases draw once; `savefig` draws a trial before each.
    figure.set_dpi(_POINTS)
    FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Title": title})
    undated = dict.fromkeys(("CreationDate", "ModDate", "Creator", "Producer"))
    FigureCanvasPdf(figure).print_pdf(pdf, metadata={**undated, "Title": title})
    figure.set_dpi(current().dpi)
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
    width = round(96 * figure.get_figwidth())
    contents = compact(svg.getvalue()), png.getvalue(), pdf.getvalue()
    return Drawing(name, title, caption, alt, width, *contents)


_FONT = re.compile(rb" font-family: ([^;\"]+);")
_NO_TURN = re.compile(rb' transform="rotate\(-0 [^"]*\)"')
_PLACES = re.compile(rb' (?:d|x|y)="[^"]*"')
_LONG = re.compile(rb"-?\d+\.\d{3,}")
_INDENT = re.compile(rb"\n +")


def compact(svg: bytes) -> bytes:
    """Return an SVG that draws the same in about half of the bytes.

    The one font family stands in the style sheet and not at every word, places are in hundredths
    of a point, and rotations by nothing and indentation are gone.
    """
    svg = _PLACES.sub(lambda found: _LONG.sub(_hundredths, found[0]), svg)
    family = _FONT.search(svg)
    if family is not None and len(set(_FONT.findall(svg))) == 1:
        svg = _FONT.sub(b"", svg)
        svg = svg.replace(b"</style>", b"text{font-family:" + family[1] + b"}</style>", 1)
    return _INDENT.sub(b"\n", _NO_TURN.sub(b"", svg))


def _hundredths(number: re.Match[bytes]) -> bytes:
    return b"%g" % round(float(number[0]), 2)
