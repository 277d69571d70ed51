"""Reward models: accuracy, best-of-N and what became of their policies."""

from __future__ import annotations

from ablate.reporting.block_tables import reward_table
from ablate.reporting.disagreements import disagreements
from ablate.reporting.effect_tables import family_table
from ablate.reporting.evaluation_figures import accuracy
from ablate.reporting.findings import Findings
from ablate.reporting.reference_table import reference_table
from ablate.reporting.reward_models import alarms_of, three_ways
from ablate.reporting.reward_outcome import reward_policy
from ablate.reporting.section import Section, given


def section(found: Findings) -> Section:
    """Return reward models three ways, and where they are most wrong."""
    shown = given(
        *(three_ways(found), reward_table(found), reference_table(found)),
        family_table(found, "reward_model"),
    )
    return Section(
        *(
            "reward-models",
            "Reward models",
            (),
            given(accuracy(found), reward_policy(found)),
            shown,
        ),
        alarms=alarms_of(found, roles=("reward_evaluation",)),
        disagreements=disagreements(found),
    )
