"""What the cells cost, and what they took else for what they reached."""

from __future__ import annotations

from ablate.reporting import tables
from ablate.reporting.findings import Findings
from ablate.reporting.pareto import costs, trade_offs
from ablate.reporting.section import Section, given


def section(found: Findings) -> Section:
    """Return budgets spent, and quality against each, against length and against distance."""
    drawn, shown = given(costs(found), trade_offs(found)), given(tables.costs(found))
    return Section("costs", "What it cost", (_TEXT,), drawn, shown)


_TEXT = (
    "A label counts once however often it is read. Seconds are wall time of the attempts that"
    " finished, on whatever machine ran them and beside whatever ran there."
)
