"""From a study, its plan and a store to the records that a report is made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from ablate.data.hygiene.judges import judge_notes
from ablate.plan.baseline import baseline_cells
from ablate.plan.build import Plan, Run
from ablate.plan.cells import Cell
from ablate.plan.data_notes import data_name, judged
from ablate.plan.power import looks_of
from ablate.reporting.costs import spent_by
from ablate.reporting.inventory import Inventory
from ablate.reporting.records import Design, RunKind, RunRecord, StudyRecord
from ablate.reporting.tuned import tuned_record
from ablate.spec.data import DataConfig
from ablate.spec.factors import UNUSED
from ablate.spec.load import LoadedStudy
from ablate.spec.registry import registry
from ablate.store.declarations import amendments
from ablate.store.layout import Store

NOT_RUN = "not run"
SCORES = ("evaluation", "imported", "reward_evaluation")
"""Stages whose files the numbers come from. They are small, so their content is checked too."""


def study_record(
    loaded: LoadedStudy,
    plan: Plan,
    store: Store,
    *,
    reasons: Mapping[str, str] | None = None,
    plan_summary: Mapping[str, object] | None = None,
) -> StudyRecord:
    """Return the record of a study as the store has it now.

    ``reasons`` says by fingerprint why a job has no artifact; others were not run.
    """
    study = loaded.study
    jobs = (job for run in plan.runs for job in run.jobs.values())
    inventory = Inventory(store, jobs, hashed=SCORES)
    runs = tuple(
        _described(_run_record(run, plan, inventory, reasons or {}, store=store), run.cell, loaded)
        for run in plan.runs
    )
    runs += tuple(_described(_pending(run, plan), run.cell, loaded) for run in _not_yet(plan))
    results = sum(run.kind != "imported" and run.missing is None for run in runs)
    return StudyRecord(
        name=study.study,
        question=study.question,
        expectation=study.expectation,
        status=study.status,
        analysis=study.analysis,
        baseline=_baseline(loaded, plan),
        design=cast(Design, study.design),
        cells=tuple(cell.name for cell in plan.cells),
        runs=runs,
        source_text=loaded.source.text,
        digest=loaded.digest,
        plan_summary=dict(plan_summary or {}),
        vary=tuple(study.seeds.vary),
        branches=tuple(study.branches),
        notes=study.notes,
        amendments=amendments(store.study(plan.study), study.declared, results=results),
        data_names={
            job.fingerprint: data_name(job.config, loaded.files.datasets)
            for job in plan.jobs
            if isinstance(job.config, DataConfig)
        },
        data_notes=tuple(judge_notes(judged(plan.cells, loaded.files.datasets))),
        looks=looks_of(study),
        tuned=tuned_record(loaded, store, reasons=reasons or {}),
    )


def _not_yet(plan: Plan) -> Iterator[Run]:
    """Yield a run without jobs for each tuned cell that has no values, so that it has its row."""
    yield from (Run(cell, 0, {}) for cell in plan.cells if cell.name in plan.pending)


def _pending(run: Run, plan: Plan) -> RunRecord:
    """Return the record of a run whose cell has no values yet, or never will."""
    return RunRecord(
        cell=run.cell.name,
        levels={name: text for name, text in run.cell.levels.items() if text != UNUSED},
        seed=run.seed,
        run_id=run_id(plan.study, run),
        parent=run.cell.parent,
        kind=run.cell.start,
        status=run.cell.status,
        artifacts={},
        fingerprints={},
        missing=plan.pending[run.cell.name],
    )


def _baseline(loaded: LoadedStudy, plan: Plan) -> str | Mapping[str, str] | None:
    """Return the baseline's cell, or each cell's own where the study names only some factors."""
    controls = baseline_cells(loaded.study, plan.cells)
    if isinstance(loaded.study.baseline, Mapping):
        return controls
    return next(iter(controls.values()), None)


def _run_record(
    run: Run, plan: Plan, inventory: Inventory, reasons: Mapping[str, str], *, store: Store
) -> RunRecord:
    folders = {role: inventory.folder(job) for role, job in run.jobs.items()}
    fingerprints = {role: job.fingerprint for role, job in run.jobs.items()}
    kind: RunKind = run.cell.start
    return RunRecord(
        cell=run.cell.name,
        levels={name: text for name, text in run.cell.levels.items() if text != UNUSED},
        seed=run.seed,
        run_id=run_id(plan.study, run),
        parent=run.cell.parent,
        kind=kind,
        status=run.cell.status,
        artifacts=folders,
        fingerprints=fingerprints,
        missing=None if folders["evaluation"] else _reason(run, folders, reasons, store=store),
        spent=spent_by(run, inventory) if kind == "policy" else {},
    )


def _described(record: RunRecord, cell: Cell, loaded: LoadedStudy) -> RunRecord:
    """Return the record with the heading that its row stands under."""
    row = loaded.study.imported.get(cell.name)
    if row is not None:
        return replace(record, group=row.group, preferences=row.preferences)
    name = cell.recipe.preferences.dataset if cell.recipe.preferences is not None else ""
    entry = registry().datasets.get(name)
    return replace(record, group=entry.group if entry is not None else "")


def _reason(
    run: Run, folders: Mapping[str, Path | None], reasons: Mapping[str, str], *, store: Store
) -> str:
    job = run.jobs["evaluation"]
    if store.artifact(job.stage, job.fingerprint).exists():
        return f"artifacts/{job.stage}/{job.fingerprint} is damaged; remove it and run again"
    for role, other in run.jobs.items():
        if folders[role] is None and other.fingerprint in reasons:
            return reasons[other.fingerprint]
    return NOT_RUN


def run_id(study: str, run: Run) -> str:
    """Return the identity of a run in tables and file names: cell, seed and what it computes."""
    text = "\n".join(sorted(job.fingerprint for job in run.jobs.values()))
    digest = hashlib.sha256(f"{study}\n{text}".encode()).hexdigest()[:8]
    return f"{run.cell.name}/{run.seed}/{digest}"
