"""What the cells cost."""

from __future__ import annotations

from ablate.reporting import study_figures, tables
from ablate.reporting.findings import Findings
from ablate.reporting.section import Section, given


def section(found: Findings) -> Section:
    """Return budgets spent, and quality against each."""
    shown = given(tables.costs(found))
    return Section("costs", "What it cost", (_TEXT,), given(study_figures.costs(found)), shown)


_TEXT = (
    "A label counts once however often it is read. Seconds are wall time of the attempts that"
    " finished, on whatever machine ran them and beside whatever ran there."
)
