"""Tripwires and the pairing of items."""

from __future__ import annotations

from ablate.reporting.check_tables import pairing_table, tripwire_table
from ablate.reporting.findings import Findings
from ablate.reporting.section import Section, given


def section(found: Findings) -> Section:
    """Return what was checked and what was found, and the pairing audit."""
    return Section("checks", "Checks", tables=given(tripwire_table(found), pairing_table(found)))
