"""What several commands start with: the study, its plan, the store and its history."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from pathlib import Path

from ablate.cli.stored import recorded
from ablate.execution.status import study_names
from ablate.plan.build import Plan, plan_study
from ablate.plan.estimate import Measured
from ablate.spec.load import LoadedStudy, load_study
from ablate.store.layout import Store
from ablate.store.pruned import unneeded


@dataclass(frozen=True)
class OpenStudy:
    """A study file that has passed every check, and its plan."""

    loaded: LoadedStudy
    plan: Plan


def open_study(path: str, sets: list[str]) -> OpenStudy:
    """Load and plan a study file; raises StudyError or SurroundingsError."""
    # A large plan is a million small objects, all kept: looking for garbage among them again and
    # again takes longer than making them.
    gc.disable()
    try:
        loaded = load_study(Path(path), sets)
        return OpenStudy(loaded, plan_study(loaded))
    finally:
        gc.freeze()
        gc.enable()


def history(store: Store) -> list[Measured]:
    """Return what finished jobs of every stored study cost, each job once."""
    found: dict[str, Measured] = {}
    for name in study_names(store):
        for job in recorded(store, name).jobs:
            manifest = store.manifest(job.stage, job.fingerprint)
            if manifest is not None and job.fingerprint not in found:
                found[job.fingerprint] = Measured(
                    stage=job.stage,
                    kind=job.kind,
                    size=job.size,
                    seconds=manifest.wall_seconds,
                    model=job.model,
                    bytes=sum(entry.size for entry in manifest.files.values()),
                )
    return list(found.values())


def cached_jobs(store: Store, plan: Plan) -> set[str]:
    """Return the fingerprints of the plan's jobs that need not run.

    Their artifacts are committed, or only records are left and no job to run reads the weights.
    """
    # Listed once by stage: asking the disk for each job of a large plan would take longer than
    # making the plan.
    there: dict[str, set[str]] = {}
    for stage in {job.stage for job in plan.jobs}:
        folder = store.root / "artifacts" / stage
        there[stage] = set(os.listdir(folder)) if folder.is_dir() else set()
    found = {
        job.fingerprint
        for job in plan.jobs
        if job.fingerprint in there[job.stage] and store.has(job.stage, job.fingerprint)
    }
    if not (store.root / "pruned").is_dir():
        return found
    pruned = {
        job.fingerprint
        for job in plan.jobs
        if job.fingerprint not in found and store.records(job.stage, job.fingerprint) is not None
    }
    inputs = {job.fingerprint: {up.fingerprint for _, up in job.inputs} for job in plan.jobs}
    order = [job.fingerprint for job in plan.jobs]
    return found | unneeded(order, inputs, there=found, pruned=pruned)
