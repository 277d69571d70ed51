"""The report's content in reading order, before any format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from ablate.reporting.findings import Findings
from ablate.reporting.methods import REFERENCES, methods
from ablate.reporting.parallel import in_parallel
from ablate.reporting.provenance import Provenance, provenance_of
from ablate.reporting.records import StudyRecord
from ablate.reporting.reward_models import alarms_of
from ablate.reporting.scope import scope_of
from ablate.reporting.section import Section, SectionMaker
from ablate.reporting.sections import (
    checks,
    costs,
    data,
    duel,
    effects,
    factorial,
    heatmap,
    judged,
    outputs,
    over_optimization,
    questions,
    ranking,
    rewards,
    samples,
    scores,
    sight,
    steps,
    training,
    tuning,
)
from ablate.reporting.summary import observed


@dataclass(frozen=True)
class Document:
    """Everything the formats render."""

    study: StudyRecord
    state: str
    """How many runs are done."""
    observed: tuple[str, ...]
    scope: str
    """What the intervals hold and leave out."""
    badges: tuple[str, ...]
    alarms: tuple[str, ...]
    """What evaluations found that must be looked at before the numbers are believed."""
    sections: tuple[Section, ...]
    provenance: Provenance
    methods: tuple[str, ...]
    references: tuple[str, ...]


SECTIONS: tuple[SectionMaker, ...] = (
    questions.section,
    sight.section,
    scores.section,
    steps.section,
    duel.section,
    effects.section,
    heatmap.section,
    factorial.section,
    ranking.section,
    rewards.section,
    outputs.tasks,
    judged.section,
    outputs.outputs,
    tuning.section,
    costs.section,
    training.training,
    training.over_epochs,
    over_optimization.section,
    data.section,
    samples.section,
    checks.section,
)
"""The page in reading order."""
MANY_RUNS = 200
"""Runs from which on sections are made in several processes; fewer take seconds anyway."""


def document_of(found: Findings, sections: Sequence[SectionMaker] = SECTIONS) -> Document:
    """Return the content of a study's report; sections without anything to show are left out."""
    makes = [partial(make, found) for make in sections]
    large = len(found.study.runs) >= MANY_RUNS
    made = in_parallel(makes) if large else [make() for make in makes]
    provenance = provenance_of(found.study)
    said = [warning for section in made for warning in section.warnings]
    return Document(
        study=found.study,
        state=_state(found),
        observed=tuple(observed(found)),
        scope=scope_of(found),
        badges=tuple(_badges(found)),
        alarms=alarms_of(found),
        sections=tuple(section for section in made if section.shows),
        provenance=replace(provenance, warnings=(*said, *provenance.warnings)),
        methods=tuple(methods(found)),
        references=REFERENCES,
    )


def _state(found: Findings) -> str:
    study = found.study
    done = sum(run.missing is None for run in study.runs)
    failed = sum(run.failed for run in study.runs)
    invalid = sum(len(found.evidence.invalid(cell)) for cell in study.cells)
    tail = f", {failed} failed" if failed else ""
    tail += f", {invalid} invalid" if invalid else ""
    return f"{done} of {len(study.runs)} runs complete{tail}; {len(study.cells)} cells"


def _badges(found: Findings) -> list[str]:
    study = found.study
    badges = []
    if any(run.missing for run in study.runs):
        badges.append("partial study")
    if any(study.preliminary(cell) for cell in study.cells):
        badges.append("preliminary: numbers are not final")
    if study.amendments:
        badges.append(f"not declared beforehand: {'; '.join(study.amendments)}")
    if any(row.is_one_seed for row in found.effects):
        badges.append("1 seed: checkpoint-level claims")
    return badges
