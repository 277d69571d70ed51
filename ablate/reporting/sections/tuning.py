"""What was chosen on the validation split, out of what."""

from __future__ import annotations

from ablate.reporting.findings import Findings
from ablate.reporting.section import Section, given
from ablate.reporting.tuning import trial_table, tuning_curves, tuning_table, tuning_text

MOST_TRIALS = 200
"""Trials that the page lists; more are in the table ``tuning-trials`` alone."""


def section(found: Findings) -> Section:
    """Return the trials of every arm, the values chosen, and what a search of k trials finds."""
    words = tuple(tuning_text(found))
    trials = trial_table(found)
    many = trials is not None and len(trials.rows) > MOST_TRIALS
    shown = given(tuning_table(found), None if many else trials)
    return Section("tuning", "Tuning", words, given(tuning_curves(found)), shown)
