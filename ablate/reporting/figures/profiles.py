"""Performance profiles: how much of a cell's results lies above any score."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ablate.reporting.figures.save import Drawing, canvas, rendered
from ablate.reporting.figures.style import look
from ablate.stats.estimate import FloatArray

_EVERY = 12
"""Points of a line between two of its markers."""


def draw_profiles(
    thresholds: FloatArray,
    shares: Mapping[str, FloatArray],
    name: str,
    *,
    title: str,
    caption: str,
) -> Drawing:
    """Return one line a cell: the share of scores above each threshold, both in percent."""
    with canvas(8.0, 3.8) as figure:
        axes = figure.subplots()
        for number, (cell, share) in enumerate(shares.items()):
            style = look(number)
            axes.plot(
                thresholds,
                100 * share,
                color=style.line,
                linestyle=style.dash,
                marker=style.marker,
                # Apart from each other, so that lines on top of each other show both.
                markevery=(number * 2 % _EVERY, _EVERY),
                markersize=4.5,
                linewidth=1.5,
                label=cell,
            )
        axes.set_xlabel("score (%)")
        axes.set_ylabel("share of runs × benchmarks above (%)")
        axes.set_ylim(0, 100)
        axes.set_xlim(float(thresholds[0]), float(thresholds[-1]))
        legend = axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        for words in legend.get_texts():
            words.set_parse_math(False)
        return rendered(figure, name, title=title, caption=caption, alt=_alt(thresholds, shares))


def _alt(thresholds: FloatArray, shares: Mapping[str, FloatArray]) -> str:
    """Return the score that half of each cell's results are above."""
    said = []
    for cell, share in shares.items():
        above = np.flatnonzero(share >= 0.5)
        middle = float(thresholds[above[-1]]) if len(above) else float(thresholds[0])
        said.append(f"{cell}: half of the results above {middle:.0f} %")
    return "; ".join(said)
