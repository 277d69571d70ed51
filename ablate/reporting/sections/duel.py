"""PPO against DPO."""

from __future__ import annotations

from ablate.reporting.block_tables import duel_table
from ablate.reporting.effect_tables import family_table
from ablate.reporting.findings import Findings
from ablate.reporting.section import Section, given
from ablate.reporting.study_figures import duel


def section(found: Findings) -> Section:
    """Return pairs of cells that differ in the algorithm only."""
    shown = given(duel_table(found), family_table(found, "algorithm"))
    return Section("duel", "DPO against PPO", (), given(duel(found)), shown)
