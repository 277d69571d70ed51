"""Effects against the baseline, and what the study declares beside them."""

from __future__ import annotations

from ablate.reporting.effect_figures import forest, seeds
from ablate.reporting.effect_tables import family_table
from ablate.reporting.findings import Findings
from ablate.reporting.section import Section, given


def section(found: Findings) -> Section:
    """Return the forest plot, every seed behind it, and the tables of effects."""
    own = [f.name for f in found.families if f.name.startswith("declared")]
    shown = given(*(family_table(found, name) for name in [*own, "baseline"]))
    return Section("effects", "Effects", (), given(forest(found), seeds(found)), shown)
