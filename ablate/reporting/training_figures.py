"""Training curves: which cells have them, and which of them is the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ablate.reporting.contrasts import baseline_cell
from ablate.reporting.figures.curves import CellCurves, draw_curves
from ablate.reporting.figures.save import Drawing
from ablate.reporting.findings import Findings

ONLINE_PANELS = (
    *("reward_normalized", "gold", "kl_per_sequence"),
    *("length_tokens", "entropy", "ended_fraction"),
)
OFFLINE_PANELS = (
    *("loss", "reward_margin", "accuracy"),
    *("reward_chosen", "reward_rejected", "gradient_weight"),
)
MOST_CELLS = 12
"""Cells that are drawn: two pages. A hundred would take a minute, and nobody compares them."""
SAMPLED = "reward_normalized"
"""Metric that tells the curves of an algorithm that samples."""


def curves_of(found: Findings, *, sampled: bool) -> list[CellCurves]:
    """Return the policy training curves of every cell that samples while it trains, or does not."""
    result = []
    for cell in found.study.cells:
        curves = [found.evidence.curve(run) for run in found.study.runs_of(cell)]
        kept = tuple(curve for curve in curves if curve is not None)
        if kept and any(SAMPLED in curve.metrics for curve in kept) == sampled:
            result.append(CellCurves(cell, kept))
    return result


def online_curves(found: Findings) -> Drawing | None:
    """Return the step metrics of algorithms that sample while they train."""
    cells = curves_of(found, sampled=True)
    return _drawn(found, cells, ONLINE_PANELS, "training-online", title="Online training")


def offline_curves(found: Findings) -> Drawing | None:
    """Return the step metrics of algorithms that learn from fixed pairs."""
    cells = curves_of(found, sampled=False)
    return _drawn(found, cells, OFFLINE_PANELS, "training-offline", title="Offline training")


def _drawn(
    found: Findings, cells: Sequence[CellCurves], panels: Sequence[str], name: str, *, title: str
) -> Drawing | None:
    """Draw the cells beside the study's baseline, or the first cell where that has no curves."""
    if not cells:
        return None
    start = baseline_cell(found.study)
    grey = next((cell for cell in cells if cell.cell == start), cells[0])
    baseline = grey if len(cells) > 1 else None
    drawing = draw_curves(cells[:MOST_CELLS], panels, name, title=title, baseline=baseline)
    left = left_out(len(cells))
    if drawing is None or not left:
        return drawing
    return replace(drawing, caption=f"{drawing.caption} {left}")


def left_out(cells: int) -> str:
    """Say how many cells are not drawn; empty where all are."""
    if cells <= MOST_CELLS:
        return ""
    return (
        f"The first {MOST_CELLS} of {cells} cells; the steps of every run are in its artifact's"
        " metrics.jsonl."
    )
