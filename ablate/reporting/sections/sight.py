"""What the study can see."""

from __future__ import annotations

from ablate.reporting import tables
from ablate.reporting.findings import Findings
from ablate.reporting.section import Section, given


def section(found: Findings) -> Section:
    """Return the smallest detectable differences beside the margin."""
    return Section("sight", "What can this study see?", (_TEXT,), tables=given(tables.sight(found)))


_TEXT = (
    "A difference smaller than the detectable one is usually missed, so “inconclusive” is no"
    " evidence of equality."
)
