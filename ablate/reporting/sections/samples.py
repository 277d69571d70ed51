"""Outputs of cells side by side."""

from __future__ import annotations

from ablate.reporting.browser.data import browser_of
from ablate.reporting.findings import Findings
from ablate.reporting.section import Section


def section(found: Findings) -> Section:
    """Return the sample browser."""
    browser = browser_of(found)
    lead = () if browser is None else (_LEAD.format(*browser.pair),)
    return Section("samples", "Sample browser", lead, browser=browser)


_LEAD = (
    "What two cells answered to the same items; at first A is {0} and B is {1}. Single outputs show"
    " what a difference looks like; they are no evidence for or against it."
)
