"""Two studies compared cell by cell, or two cells item by item; B minus A throughout.

The intervals are those of a report: both sides stand in one record, and `effect_rows` does the
rest. Nobody declared such a comparison before its results, so all of it is exploratory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.reporting.artifacts import MetricRow
from ablate.reporting.contrasts import Contrast, contrasts_of
from ablate.reporting.diff_config import (
    FieldChange,
    StageChange,
    field_changes,
    grouped,
    level_changes,
    stage_changes,
    study_changes,
)
from ablate.reporting.effects import EffectRow, effect_rows
from ablate.reporting.evidence import Evidence
from ablate.reporting.records import RunRecord, StudyRecord
from ablate.stats.verdicts import Verdict

FAMILY = "diff"
SIDES = ("A", "B")
BESIDE = ("greedy_average", "gold", "kl_per_sequence_nats", "length_tokens", "ended_fraction")
"""Metrics beside the headline."""


@dataclass(frozen=True)
class Pair:
    """A cell of A and the cell of B that it is compared with."""

    left: str
    right: str
    same: bool
    """Whether both are the same runs: equal fingerprints, nothing to compare."""

    @property
    def name(self) -> str:
        """What to call the two."""
        return self.left if self.left == self.right else f"{self.left} → {self.right}"


@dataclass(frozen=True)
class VerdictChange:
    """A comparison of both studies that ended differently on the primary metric."""

    kind: str
    treatment: str
    control: str
    left: Verdict
    right: Verdict


@dataclass(frozen=True)
class StudyDiff:
    """What B changes against A."""

    left: str
    right: str
    metric: str
    """Primary metric of A, which the cells are compared on."""
    pairs: tuple[Pair, ...]
    only_left: tuple[str, ...]
    only_right: tuple[str, ...]
    unfinished: tuple[str, ...]
    """Pairs that have no finished run of one seed on both sides."""
    effects: tuple[EffectRow, ...]
    """B minus A of every pair that differs, labelled by the pair's name; primary metric first."""
    scores: Mapping[str, tuple[float, float]]
    """Mean of the primary metric on both sides, by the pair's name."""
    verdicts: tuple[VerdictChange, ...]
    fields: tuple[FieldChange, ...]
    stages: tuple[StageChange, ...]
    metrics: Mapping[str, MetricRow]
    """Unit and direction by metric."""
    notes: tuple[str, ...]


def compare_studies(left: StudyRecord, right: StudyRecord) -> StudyDiff:
    """Return what differs between two studies: results with intervals, design, configuration."""
    pairs = matched_cells(left, right)
    merged = merged_record(left, right)
    evidence = Evidence(merged)
    contrasts = [contrast_of(pair) for pair in pairs if not pair.same]
    metrics = metrics_of(evidence, left.primary)
    rows = effect_rows(evidence, contrasts, metrics)
    shown = {row.label for row in rows if row.metric == left.primary}
    names = [pair.name for pair in pairs if not pair.same]
    taken = {pair.left for pair in pairs}, {pair.right for pair in pairs}
    partners = [two for pair in pairs for two in _partners(merged, pair)]
    return StudyDiff(
        left=left.name,
        right=right.name,
        metric=left.primary,
        pairs=tuple(pairs),
        only_left=tuple(cell for cell in left.cells if cell not in taken[0]),
        only_right=tuple(cell for cell in right.cells if cell not in taken[1]),
        unfinished=tuple(name for name in names if name not in shown),
        effects=tuple(rows),
        scores={pair.name: _scores(evidence, pair, left.primary) for pair in pairs},
        verdicts=tuple(_verdict_changes(left, right)),
        fields=(*study_changes(left, right), *_fields(evidence, pairs)),
        stages=tuple(stage_changes(partners)),
        metrics={name: evidence.metrics[name] for name in metrics},
        notes=tuple(_notes(left, right)),
    )


def matched_cells(left: StudyRecord, right: StudyRecord) -> list[Pair]:
    """Return cells of the same name, then of the same runs, then of the same levels."""
    partner = {cell: cell for cell in left.cells if cell in right.cells}
    for alike in (same_runs, _same_levels):
        for cell in left.cells:
            free = [name for name in right.cells if name not in partner.values()]
            other = next((name for name in free if alike(left, cell, right, name)), None)
            if cell not in partner and other is not None:
                partner[cell] = other
    found = ((cell, partner[cell]) for cell in left.cells if cell in partner)
    return [Pair(one, other, same_runs(left, one, right, other)) for one, other in found]


def _same_levels(left: StudyRecord, cell: str, right: StudyRecord, other: str) -> bool:
    levels = left.levels_of(cell)
    return bool(levels) and right.levels_of(other) == levels


def same_runs(left: StudyRecord, cell: str, right: StudyRecord, other: str) -> bool:
    """Return whether two cells share an evaluation: then they compute the same, seed by seed."""
    here, there = (
        {run.fingerprints.get("evaluation") for run in study.runs_of(name)} - {None}
        for study, name in ((left, cell), (right, other))
    )
    return not here.isdisjoint(there)


def merged_record(left: StudyRecord, right: StudyRecord) -> StudyRecord:
    """Return one record that holds the runs of both, each cell under ``A: `` or ``B: ``.

    What A's analysis says holds, but for what it declares: seeds of two studies are independent.
    """
    studies = dict(zip(SIDES, (left, right), strict=True))
    disjoint = {run.seed for run in left.runs}.isdisjoint(run.seed for run in right.runs)
    return replace(
        left,
        name=f"{left.name} and {right.name}",
        analysis=left.analysis.model_copy(update={"contrasts": (), "seeds": "independent"}),
        baseline=None,
        design="cells",
        cells=tuple(sided(side, cell) for side, study in studies.items() for cell in study.cells),
        runs=tuple(
            _sided_run(side, run, study, by_rank=disjoint)
            for side, study in studies.items()
            for run in study.runs
        ),
        branches=(),
        notes={},
    )


def sided(side: str, cell: str) -> str:
    """Return the name of a cell of ``A`` or ``B``."""
    return f"{side}: {cell}"


def _sided_run(side: str, run: RunRecord, study: StudyRecord, *, by_rank: bool) -> RunRecord:
    """Return a run under its side's name; seeds that never meet are counted from 0."""
    seed = run.seed
    if by_rank:
        seed = [one.seed for one in study.runs_of(run.cell)].index(run.seed)
    return replace(run, cell=sided(side, run.cell), seed=seed, parent=None)


def contrast_of(pair: Pair) -> Contrast:
    """Return the comparison of a pair in the record of both."""
    treatment, control = sided("B", pair.right), sided("A", pair.left)
    return Contrast(FAMILY, treatment, control, pair.name, declared=False)


def metrics_of(evidence: Evidence, primary: str) -> list[str]:
    """Return the metrics that are compared: the primary, the headline, and a few beside it."""
    names = dict.fromkeys([primary, *evidence.headline, *BESIDE])
    return [name for name in names if name in evidence.metrics]


def _scores(evidence: Evidence, pair: Pair, metric: str) -> tuple[float, float]:
    def mean(cell: str) -> float:
        values = list(evidence.values(cell, metric).values())
        return sum(values) / len(values) if values else float("nan")

    return mean(sided("A", pair.left)), mean(sided("B", pair.right))


def _partners(merged: StudyRecord, pair: Pair) -> Iterator[tuple[RunRecord, RunRecord]]:
    """Yield the runs of a pair under each seed that both have."""
    there = {run.seed: run for run in merged.runs_of(sided("B", pair.right))}
    for run in merged.runs_of(sided("A", pair.left)):
        if run.seed in there:
            yield run, there[run.seed]


def _fields(evidence: Evidence, pairs: Sequence[Pair]) -> list[FieldChange]:
    changes: dict[str, list[FieldChange]] = {}
    for pair in pairs:
        if pair.same:
            continue
        merged = evidence.study
        levels = [
            merged.levels_of(sided(*one))
            for one in zip(SIDES, (pair.left, pair.right), strict=True)
        ]
        two = next(_partners(merged, pair), (None, None))
        changes[pair.name] = [*level_changes(*levels), *field_changes(evidence, *two)]
    return grouped(changes)


def _verdict_changes(left: StudyRecord, right: StudyRecord) -> Iterator[VerdictChange]:
    before, after = _verdicts(left), _verdicts(right)
    for key, verdict in before.items():
        if key in after and after[key] != verdict:
            yield VerdictChange(*key, verdict, after[key])


def _verdicts(study: StudyRecord) -> dict[tuple[str, str, str], Verdict]:
    rows = effect_rows(Evidence(study), contrasts_of(study), [study.primary])
    return {(row.kind, row.treatment, row.control): row.verdict for row in rows}


def _notes(left: StudyRecord, right: StudyRecord) -> Iterator[str]:
    if left.primary != right.primary:
        yield f"the primary metric is {left.primary} in A and {right.primary} in B; A's is used"
    if left.margin != right.margin or left.alpha != right.alpha:
        yield (
            f"margin and alpha are {left.margin:g} and {left.alpha:g} in A, {right.margin:g} and "
            f"{right.alpha:g} in B; A's are used"
        )
