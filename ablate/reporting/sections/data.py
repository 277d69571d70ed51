"""The data behind the cells."""

from __future__ import annotations

from ablate.reporting.data_cards import data_report
from ablate.reporting.findings import Findings
from ablate.reporting.section import Section


def section(found: Findings) -> Section:
    """Return what the study's data sets hold, compared and one by one."""
    report = data_report(found.study)
    return Section(*("data", "Data", (), (), report.tables, report.cards), warnings=report.warnings)
