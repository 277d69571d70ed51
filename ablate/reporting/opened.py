"""A study by file, by the name that a store has it under, or as a record already made."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ValidationError

from ablate.errors import StudyError, SurroundingsError, nearest
from ablate.plan.build import plan_study
from ablate.plan.record import RUNS
from ablate.reporting.collect import study_record
from ablate.reporting.looks import grown_plan
from ablate.reporting.records import StudyRecord
from ablate.reporting.tuned import tuned_plan
from ablate.spec.load import LoadedStudy, load_study, study_from_text
from ablate.store.layout import Store

STORED_FILE = "study.yaml"
"""The study file as it was when the study ran last, beside the controller's plan."""


class RecordedFile(BaseModel):
    """Where a stored study's file was and which options changed it."""

    folder: str = "."
    """Folder that paths in the file are relative to."""
    sets: list[str] = []
    """``--set`` options."""


class FailedJob(BaseModel):
    """What is read of a failed job."""

    fingerprint: str
    kind: str
    message: str


class LastWord(BaseModel):
    """What is read of the controller's ``status.json``."""

    skipped: dict[str, str] = {}
    failed: list[FailedJob] = []


def reasons_of(store: Store, study: str) -> dict[str, str]:
    """Return why jobs have no artifact, by fingerprint, from the controller's last word."""
    try:
        said = LastWord.model_validate_json((store.study(study) / "status.json").read_bytes())
    except (OSError, ValidationError):
        return {}
    reasons = {key: f"skipped: {reason}" for key, reason in said.skipped.items()}
    failed = {row.fingerprint: f"failed: {row.kind}: {row.message}" for row in said.failed}
    return reasons | failed


def opened_store(store: Store | Path | str | None) -> Store:
    """Return the store given, or the one that ``ABLATE_STORE`` names, or ``.ablate``."""
    if isinstance(store, Store):
        return store
    return Store(Path(store or os.environ.get("ABLATE_STORE") or ".ablate"))


def stored_studies(store: Store) -> list[str]:
    """Return the names of the studies whose files a store keeps, sorted."""
    folder = store.root / "studies"
    found = folder.iterdir() if folder.is_dir() else iter(())
    return sorted(path.name for path in found if (path / STORED_FILE).is_file())


def loaded_study(study: str | Path, store: Store) -> LoadedStudy:
    """Return a study from its file, or from the file that the store keeps under its name.

    Raises SurroundingsError where there is neither, StudyError where the file has problems.
    """
    if Path(study).is_file():
        return load_study(Path(study))
    if str(study) in stored_studies(store):
        return _stored(str(study), store)
    known = stored_studies(store)
    listed = f"stored studies: {', '.join(known)}" if known else "no study was run there"
    raise SurroundingsError(
        f"{str(study)!r}: no study file, and no study of {store.root}; {listed}."
        f"{nearest(study, known)} Name a file, or run the study: ablate run FILE"
    )


def _stored(name: str, store: Store) -> LoadedStudy:
    folder = store.study(name)
    try:
        recorded = RecordedFile.model_validate_json((folder / RUNS).read_bytes())
    except (OSError, ValidationError):
        recorded = RecordedFile()
    path = folder / STORED_FILE
    try:
        text = path.read_bytes()
        return study_from_text(text, recorded.sets, name=str(path), folder=Path(recorded.folder))
    except (StudyError, OSError) as error:
        raise SurroundingsError(
            f"{error}\nstudy {name} cannot be opened by its name: what its stored file says does "
            "not hold any more. Name the study file itself, where it is now."
        ) from error


def record_of(study: str | Path, store: Store) -> StudyRecord:
    """Return the record of a study, named by file or by name, as the store has it now.

    Raises as `loaded_study`, and SurroundingsError where no job of it is finished.
    """
    loaded = loaded_study(study, store)
    reasons = reasons_of(store, loaded.study.study)
    plan = plan_study(loaded)
    if loaded.study.tune is not None:
        plan, _ = tuned_plan(loaded, plan, store, reasons=reasons)
    if not any(store.has(job.stage, job.fingerprint) for job in plan.jobs):
        there = "" if store.root.is_dir() else " There is no such store."
        raise SurroundingsError(
            f"{store.root}: no finished job of study {plan.study}; results need at least one."
            f"{there} Run it first: ablate run FILE"
        )
    plan = grown_plan(loaded, plan, store, reasons=reasons)
    return study_record(loaded, plan, store, reasons=reasons)
