"""Figures inside the page, within what it may weigh."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ablate.reporting.figures.save import Drawing
from ablate.reporting.section import Section

BUDGET = 1_700_000
"""Bytes of all figures in the page, as their addresses count them."""


@dataclass(frozen=True)
class Image:
    """A figure as the page shows it."""

    address: str
    """``data:`` and the whole image; empty where the page has no room for it."""
    said: str
    """Why it is not a drawing in full sharpness; empty where it is."""


def images_of(sections: Iterable[Section], *, budget: int = BUDGET) -> dict[str, Image]:
    """Return every figure by name: as SVG, else as PNG, else left to the file beside the page.

    Where not all fit, the largest go first, and single frames of a sequence before any figure.
    """
    sections = list(sections)
    figures = {f.name: f for s in sections for f in s.figures for f in _pages(f)}
    frames = {f.name: f for s in sections for f in s.frames for f in _pages(f)}
    found: dict[str, Image] = {}
    for group in (figures, frames):
        # Smallest first: what is left without room are the largest.
        for name, figure in sorted(group.items(), key=lambda pair: len(pair[1].svg)):
            if name not in found:
                found[name] = _image(figure, budget)
                budget -= len(found[name].address)
    return found


def _pages(figure: Drawing) -> Iterator[Drawing]:
    yield figure
    for page in figure.pages:
        yield from _pages(page)


def _image(figure: Drawing, room: int) -> Image:
    for kind, data, said in (
        ("svg+xml", figure.svg, ""),
        ("png", figure.png, "Shown as pixels to keep this page small; the SVG is beside it."),
    ):
        address = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        if len(address) <= room:
            return Image(address, said)
    return Image("", "Too large for this page; the figure is in the files beside it.")
