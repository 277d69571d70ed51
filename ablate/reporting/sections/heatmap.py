"""Cells by tasks."""

from __future__ import annotations

from ablate.reporting.findings import Findings
from ablate.reporting.heatmap import heatmap, heatmap_steps
from ablate.reporting.section import Section, given


def section(found: Findings) -> Section:
    """Return the differences on every task, to the baseline and on a ladder from step to step."""
    drawn = given(heatmap(found), heatmap_steps(found))
    return Section("heatmap", "Every cell on every task", (), drawn)
