"""A ladder step by step."""

from __future__ import annotations

from ablate.reporting.effect_tables import family_table
from ablate.reporting.findings import Findings
from ablate.reporting.section import Section, given
from ablate.reporting.study_figures import stepwise


def section(found: Findings) -> Section:
    """Return the additive chart of a ladder and the effect of each rung."""
    shown = given(family_table(found, "step"))
    return Section("steps", "Step by step", (), given(stepwise(found)), shown)
