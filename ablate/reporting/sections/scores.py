"""Scores of every cell, and how they spread."""

from __future__ import annotations

from ablate.reporting.dataset_table import dataset_table
from ablate.reporting.findings import Findings
from ablate.reporting.scores_comparison import comparison
from ablate.reporting.scores_spread import spread_table
from ablate.reporting.section import Section, given


def section(found: Findings) -> Section:
    """Return the table of all cells and the spread of its columns."""
    shown = given(dataset_table(found), comparison(found), spread_table(found))
    return Section("scores", "Scores and differences", tables=shown)
