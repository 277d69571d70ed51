"""Scores of every cell, and how they spread."""

from __future__ import annotations

from ablate.reporting.dataset_table import dataset_table
from ablate.reporting.findings import Findings
from ablate.reporting.option_table import option_table
from ablate.reporting.prompt_table import prompt_table
from ablate.reporting.scores_comparison import comparison
from ablate.reporting.scores_spread import spread_table
from ablate.reporting.section import Section, given


def section(found: Findings) -> Section:
    """Return the table of all cells and the spread of its columns."""
    own = given(dataset_table(found), prompt_table(found), option_table(found))
    shown = (*own, *given(comparison(found), spread_table(found)))
    return Section("scores", "Scores and differences", tables=shown)
