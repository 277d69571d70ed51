"""A ladder step by step."""

from __future__ import annotations

from ablate.reporting.effect_tables import family_table
from ablate.reporting.findings import Findings
from ablate.reporting.section import Section, given
from ablate.reporting.step_figures import cumulative, step_frames, stepwise


def section(found: Findings) -> Section:
    """Return a ladder's additive chart, the sequence that builds it, and each rung's effect."""
    shown = given(family_table(found, "step"))
    drawn, frames = given(stepwise(found), cumulative(found)), step_frames(found)
    return Section("steps", "Step by step", (), drawn, shown, frames=frames)
