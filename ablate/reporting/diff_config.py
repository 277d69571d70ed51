"""What two cells, or two studies, were configured differently in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ablate.reporting.evidence import Evidence
from ablate.reporting.records import RunRecord, StudyRecord

ABSENT = "–"
_FOLLOWS = ("tokens", "contamination", "evaluation_checkpoint", "reference_evaluation")
"""Beginnings of roles whose configuration follows from another role's."""
_NOT_COMPARED = frozenset({"seed", "location"})
"""Last names of fields that say which run it is, or where its files were on one machine."""


@dataclass(frozen=True)
class FieldChange:
    """One field that two sides have different values of."""

    stage: str
    """Role of the stage, ``factor`` for a level, ``study`` for what holds for all cells."""
    field: str
    left: str
    right: str
    cells: tuple[str, ...] = ()
    """Cells it was found in; empty for what holds for all."""


@dataclass(frozen=True)
class StageChange:
    """How many runs of cells on both sides share a stage's artifact."""

    stage: str
    same: int
    changed: int


def level_changes(left: Mapping[str, str], right: Mapping[str, str]) -> list[FieldChange]:
    """Return the factors that two cells have different levels of."""
    names = dict.fromkeys([*left, *right])
    return [
        FieldChange("factor", name, left.get(name, ABSENT), right.get(name, ABSENT))
        for name in names
        if left.get(name) != right.get(name)
    ]


def field_changes(
    evidence: Evidence, left: RunRecord | None, right: RunRecord | None
) -> list[FieldChange]:
    """Return the resolved fields that two runs' stages differ in, stage by stage.

    A stage that only one side has is one change without fields; one that is not finished on
    both sides says nothing.
    """
    if left is None or right is None:
        return []
    roles = dict.fromkeys([*left.fingerprints, *right.fingerprints])
    # What evaluated an imported row is its result and no configuration.
    imported = "imported" in (left.kind, right.kind)
    changes: list[FieldChange] = []
    for role in roles:
        if role.startswith(_FOLLOWS) or (imported and role == "evaluation"):
            continue
        here, there = left.fingerprints.get(role), right.fingerprints.get(role)
        if here is None or there is None:
            left_has, right_has = (ABSENT if one is None else "there" for one in (here, there))
            changes.append(FieldChange(role, "", left_has, right_has))
        elif here != there:
            changes += _of_stage(role, evidence.config(left, role), evidence.config(right, role))
    return changes


def _of_stage(
    role: str, left: Mapping[str, object], right: Mapping[str, object]
) -> Iterator[FieldChange]:
    if not left or not right:
        return
    one, other = dict(_leaves(left)), dict(_leaves(right))
    for name in dict.fromkeys([*one, *other]):
        if name.rpartition(".")[2] in _NOT_COMPARED:
            continue
        if one.get(name) != other.get(name):
            yield FieldChange(role, name, one.get(name, ABSENT), other.get(name, ABSENT))


def _leaves(value: Mapping[str, object], place: str = "") -> Iterator[tuple[str, str]]:
    """Yield every field by its dotted path; lists are values."""
    for key, inner in value.items():
        name = f"{place}{key}"
        if isinstance(inner, Mapping) and inner:
            yield from _leaves(inner, f"{name}.")
        else:
            text = inner if isinstance(inner, str) else json.dumps(inner, default=str)
            yield name, text or "''"


def study_changes(left: StudyRecord, right: StudyRecord) -> list[FieldChange]:
    """Return what two studies declare differently for all of their cells."""
    sides = [_declared(study) for study in (left, right)]
    return [
        FieldChange("study", name, sides[0][name], sides[1][name])
        for name in sides[0]
        if sides[0][name] != sides[1][name]
    ]


def _declared(study: StudyRecord) -> dict[str, str]:
    analysis = study.analysis.model_dump(mode="json")
    return {
        "design": study.design,
        "baseline": str(study.baseline or ABSENT),
        "status": study.status or ABSENT,
        "seeds": str(max((len(study.runs_of(cell)) for cell in study.cells), default=0)),
        "seeds.vary": ", ".join(study.vary) or ABSENT,
        **{f"analysis.{name}": json.dumps(value) for name, value in analysis.items()},
    }


def grouped(changes: Mapping[str, list[FieldChange]]) -> list[FieldChange]:
    """Return the changes of several cells, each once with the cells that it was found in."""
    found: dict[FieldChange, list[str]] = {}
    for cell, of_cell in changes.items():
        for change in of_cell:
            found.setdefault(change, []).append(cell)
    return [
        FieldChange(one.stage, one.field, one.left, one.right, tuple(cells))
        for one, cells in found.items()
    ]


def stage_changes(pairs: list[tuple[RunRecord, RunRecord]]) -> list[StageChange]:
    """Return for each stage how many of these runs share its artifact with their partner."""
    counts: dict[str, list[int]] = {}
    for left, right in pairs:
        for role in left.fingerprints.keys() & right.fingerprints.keys():
            counts.setdefault(role, [0, 0])
            counts[role][left.fingerprints[role] != right.fingerprints[role]] += 1
    order = dict.fromkeys(role for left, _ in pairs for role in left.fingerprints)
    return [
        StageChange(role, *counts[role])
        for role in order
        if role in counts and not role.startswith(_FOLLOWS)
    ]
