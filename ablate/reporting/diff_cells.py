"""Two cells compared: every metric with its interval, items, lengths, costs, configuration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.reporting.artifacts import MetricRow
from ablate.reporting.contrasts import Contrast, contrasts_of
from ablate.reporting.costs import UNITS
from ablate.reporting.diff import (
    BESIDE,
    FAMILY,
    Pair,
    contrast_of,
    merged_record,
    same_runs,
)
from ablate.reporting.diff_config import FieldChange, field_changes, level_changes
from ablate.reporting.diff_items import ItemChanges, item_changes
from ablate.reporting.effects import EffectRow, decided, effect_rows
from ablate.reporting.evidence import Evidence
from ablate.reporting.records import RunRecord, StudyRecord
from ablate.stats.multiplicity import adjust


@dataclass(frozen=True)
class CellOf:
    """A cell of a study."""

    study: StudyRecord
    cell: str


@dataclass(frozen=True)
class Cost:
    """What a run of either side spent, mean over its complete runs."""

    unit: str
    left: float
    right: float

    @property
    def ratio(self) -> float:
        """B over A; NaN where A spent nothing."""
        return self.right / self.left if self.left > 0 else math.nan


@dataclass(frozen=True)
class CellDiff:
    """What cell B changes against cell A."""

    left: str
    right: str
    metric: str
    """Primary metric of A's study."""
    same: bool
    """Whether both are the same runs: equal fingerprints, nothing to compare."""
    effects: tuple[EffectRow, ...]
    """B minus A: the primary, then categories, tasks and what stands beside them. But for the
    primary, p-values are adjusted over them all (Benjamini-Hochberg)."""
    scores: Mapping[str, tuple[float, float]]
    """Means on both sides by metric."""
    declared: tuple[EffectRow, ...]
    """The same two cells as the study itself compares them on the primary metric; the effect on
    it then has the study's adjusted p and verdict."""
    margin: float
    """Smallest effect of interest of A's study, in points."""
    items: ItemChanges
    costs: tuple[Cost, ...]
    fields: tuple[FieldChange, ...]
    """Levels, then resolved fields by stage."""
    metrics: Mapping[str, MetricRow]
    """Unit and direction by metric."""


def compare_cells(left: CellOf, right: CellOf) -> CellDiff:
    """Return what differs between two cells, of one study or of two."""
    one_study = left.study.digest == right.study.digest and left.study.runs == right.study.runs
    pair = Pair(left.cell, right.cell, same_runs(left.study, left.cell, right.study, right.cell))
    if one_study:
        study, contrast = left.study, Contrast(FAMILY, right.cell, left.cell, pair.name, False)
    else:
        study, contrast = merged_record(left.study, right.study), contrast_of(pair)
    evidence = Evidence(study)
    metrics = _metrics(evidence, left.study.primary)
    rows = [] if pair.same else effect_rows(evidence, [contrast], metrics)
    declared = list(_declared(left.study, contrast)) if one_study and rows else []
    sides = (contrast.control, contrast.treatment)
    return CellDiff(
        left=_name(left, one_study),
        right=_name(right, one_study),
        metric=left.study.primary,
        same=pair.same,
        effects=tuple(_over_metrics(evidence, _as_declared(evidence, rows, declared))),
        scores={name: _means(evidence, sides, name) for name in metrics},
        declared=tuple(declared),
        margin=study.margin,
        items=item_changes(evidence, contrast, left.study.primary),
        costs=tuple(_costs(study, sides)),
        fields=tuple(_fields(evidence, sides)),
        metrics={name: evidence.metrics[name] for name in metrics},
    )


def _name(one: CellOf, one_study: bool) -> str:
    return one.cell if one_study else f"{one.study.name}: {one.cell}"


def _metrics(evidence: Evidence, primary: str) -> list[str]:
    names = dict.fromkeys([primary, *evidence.headline, *evidence.scored_tasks, *BESIDE])
    return [name for name in names if name in evidence.metrics]


def _over_metrics(evidence: Evidence, rows: Sequence[EffectRow]) -> Iterator[EffectRow]:
    """Adjust the p-values of all metrics but the primary together, and decide again.

    A contrast alone is a family of one, so what arrives here is not adjusted yet.
    """
    primary = evidence.study.primary
    rest = [row for row in rows if row.metric != primary]
    known = [math.nan if row.invalid else row.p_adjusted for row in rest]
    adjusted = {row.metric: p for row, p in zip(rest, adjust(known, "bh"), strict=True)}
    for row in rows:
        if row.metric in adjusted:
            yield decided(evidence, replace(row, p_adjusted=adjusted[row.metric]))
        else:
            yield row


def _means(evidence: Evidence, cells: tuple[str, str], metric: str) -> tuple[float, float]:
    def mean(cell: str) -> float:
        values = list(evidence.values(cell, metric).values())
        return math.fsum(values) / len(values) if values else math.nan

    return mean(cells[0]), mean(cells[1])


def _declared(study: StudyRecord, contrast: Contrast) -> Iterator[EffectRow]:
    """Yield the study's own comparisons of these two cells, either way round."""
    wanted = {contrast.treatment, contrast.control}
    contrasts = contrasts_of(study)
    if any({one.treatment, one.control} == wanted for one in contrasts):
        for row in effect_rows(Evidence(study), contrasts, [study.primary]):
            if {row.treatment, row.control} == wanted:
                yield row


def _as_declared(
    evidence: Evidence, rows: Sequence[EffectRow], declared: Sequence[EffectRow]
) -> list[EffectRow]:
    """Return the rows, the primary with the study's own answer: two verdicts would be one too many.

    A comparison of the study stands in one family or several, always with the same adjusted p.
    """
    if not declared:
        return list(rows)
    own = declared[0]
    confirmatory = any(row.confirmatory for row in declared)
    primary = replace(
        next(row for row in rows if row.metric == own.metric),
        p_adjusted=own.p_adjusted,
        detectable=own.detectable,
        confirmatory=confirmatory,
    )
    return [decided(evidence, primary) if row.metric == own.metric else row for row in rows]


def _costs(study: StudyRecord, cells: tuple[str, str]) -> Iterator[Cost]:
    left, right = ([run.spent for run in study.runs_of(cell) if run.spent] for cell in cells)
    if not left or not right:
        return
    for unit in UNITS:
        means = [math.fsum(s[unit] for s in side) / len(side) for side in (left, right)]
        if any(means):
            yield Cost(unit, means[0], means[1])


def _fields(evidence: Evidence, cells: tuple[str, str]) -> Iterator[FieldChange]:
    study = evidence.study
    yield from level_changes(study.levels_of(cells[0]), study.levels_of(cells[1]))
    left, right = _partners(study, cells)
    yield from field_changes(evidence, left, right)


def _partners(
    study: StudyRecord, cells: tuple[str, str]
) -> tuple[RunRecord | None, RunRecord | None]:
    """Return a run of each cell under one seed, finished ones first; None without any."""
    left, right = ({run.seed: run for run in study.runs_of(cell)} for cell in cells)
    common = sorted(left.keys() & right.keys())
    done = [seed for seed in common if left[seed].missing is None and right[seed].missing is None]
    for seed in (*done, *common):
        return left[seed], right[seed]
    return None, None
