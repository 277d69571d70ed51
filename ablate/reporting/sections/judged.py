"""Judged replies: win rate and length."""

from __future__ import annotations

from ablate.reporting.evaluation_figures import win_rates
from ablate.reporting.findings import Findings
from ablate.reporting.scores_judged import judged_table
from ablate.reporting.section import Section, given


def section(found: Findings) -> Section:
    """Return win rates, what of them is length, and how steady the judge is."""
    shown = given(judged_table(found))
    return Section("judged", "Judged replies", (), given(win_rates(found)), shown)
