"""Two levels compared pair by pair, PPO and DPO above all."""

from __future__ import annotations

from ablate.reporting.effect_tables import family_table
from ablate.reporting.findings import Findings
from ablate.reporting.pair_tables import pair_sentences, pair_tables, sides_of
from ablate.reporting.section import Section, given
from ablate.reporting.step_figures import duel


def section(found: Findings) -> Section:
    """Return pairs of cells that differ in one factor only."""
    sides = sides_of(found)
    is_duel = all((one.control, one.treatment) == ("DPO", "PPO") for one in sides)
    title = "DPO against PPO" if is_duel else "Pairs that differ in one factor"
    shown = (*pair_tables(found), *given(family_table(found, "algorithm")))
    said = tuple(pair_sentences(found))
    return Section("duel", title, said, given(duel(found)), shown)
