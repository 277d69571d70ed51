"""Single tasks, and what the outputs look like."""

from __future__ import annotations

from ablate.reporting.findings import Findings
from ablate.reporting.safety_table import safety_table
from ablate.reporting.scores_diagnostics import diagnostics_table
from ablate.reporting.scores_tasks import task_tables
from ablate.reporting.section import Section, given
from ablate.reporting.task_levels import task_levels


def tasks(found: Findings) -> Section:
    """Return every task's score."""
    return Section("tasks", "Tasks", (), given(task_levels(found)), task_tables(found))


def outputs(found: Findings) -> Section:
    """Return length, truncation, refusals and repetition."""
    return Section(
        "diagnostics", "Outputs", tables=given(safety_table(found), diagnostics_table(found))
    )
