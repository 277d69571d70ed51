"""What each event becomes in MLflow.

A run of the study is one MLflow run. A job that one run uses is a child of it; a job that several
share is a run of its own. Either way each using run carries a tag
``ablate.uses.<stage>-<fingerprint>`` whose value is the job's MLflow run.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from ablate.tracking.destination import Refused
from ablate.tracking.events import JobCommitted, Recorded, RunFailed, RunFinished, RunStarted
from ablate.tracking.flatten import VALUE_LENGTH, final_scores, flatten, step_metrics
from ablate.tracking.mlflow_runs import PARENT, Runs

logger = logging.getLogger(__name__)

COMPLETE = "ablate.complete"
"""Tag of a job's run once everything of its artifact has arrived."""
FAILURE = "ablate.failure"
FILES = ("scores.json", "summary.json", "reward.json")
"""What is copied out of an artifact, where it exists; weights and samples stay in the store."""
_DATABASES = ("sqlite:", "postgresql", "mysql", "mssql")
_PERMANENT = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE"}
"""Answers that the same request will always get."""


class MlflowDestination:
    """One study's experiment on one MLflow server or in one database."""

    def __init__(self, store: Path, study: str, uri: str) -> None:
        """Connect; the experiment is made where it is missing."""
        self._store = store
        is_database = uri.startswith(_DATABASES)
        artifacts = store / "mlflow-artifacts" if is_database else None
        # Two processes that create one SQLite file at once break it (MLflow 3.17).
        with _locked(store / "mlflow.lock"):
            self._runs = Runs(MlflowClient(uri), study, artifacts)

    def remember(self, recorded: Recorded) -> None:
        """Learn nothing: MLflow is asked for what it has."""

    def deliver(self, recorded: Recorded) -> None:
        """Send one event."""
        try:
            _deliver(recorded, self._runs, self._store)
        except MlflowException as error:
            if error.error_code in _PERMANENT:
                raise Refused(str(error)) from error
            raise

    def flush(self) -> None:
        """Do nothing: every event is sent at once."""

    def close(self) -> None:
        """Do nothing: connections end with the process."""


def _deliver(recorded: Recorded, runs: Runs, store: Path) -> None:
    event, at = recorded.event, recorded.time_ms
    match event:
        case RunStarted():
            _start(event, runs, at)
        case JobCommitted():
            _commit(event, runs, store, at=at)
        case RunFinished():
            run = _run_of(event.run, runs, at)
            runs.remove_tag(run, FAILURE)
            _end(event.run, runs, "FINISHED", at=at)
        case RunFailed():
            run = _run_of(event.run, runs, at)
            failure = f"{event.stage}: {event.kind}: {event.message}"[:VALUE_LENGTH]
            runs.set_tags(run, {FAILURE: failure})
            _end(event.run, runs, "FAILED", at=at)


def _start(event: RunStarted, runs: Runs, at: int) -> None:
    run = _run_of(event.run, runs, at)
    levels = {f"factor.{name}": level for name, level in event.levels.items()}
    runs.log_params(run, flatten({**levels, **event.params, "seed": event.seed}))
    runs.set_tags(run, {"ablate.cell": event.cell, "ablate.seed": str(event.seed)})
    runs.refresh(_run_tag(event.run))


def _commit(event: JobCommitted, runs: Runs, store: Path, *, at: int) -> None:
    key = f"job {event.fingerprint}"
    start = at - round(1000 * (event.seconds or 0.0))
    job = runs.upsert(key, f"{event.stage} {event.fingerprint[:8]}", start_ms=start)
    if job.data.tags.get(COMPLETE) != "true":
        _fill(event, runs, job, store)
        runs.client.set_terminated(job.info.run_id, "FINISHED", at)
    _link(event, runs, job, store, at)
    runs.set_tags(job, {COMPLETE: "true"})
    runs.refresh(key)


def _fill(event: JobCommitted, runs: Runs, job: Any, store: Path) -> None:
    artifact = store / event.artifact
    inputs = {f"ablate.input.{role}": value for role, value in event.inputs.items()}
    tags = {
        "ablate.stage": event.stage,
        "ablate.fingerprint": event.fingerprint,
        "ablate.attempt": str(event.attempt),
        "ablate.artifact": event.artifact,
    }
    runs.set_tags(job, {**tags, **inputs})
    runs.log_params(job, flatten({event.stage: event.config}))
    if not artifact.is_dir():
        logger.warning("artifact %s is gone; its metrics and scores are not sent", event.artifact)
        runs.set_tags(job, {"ablate.artifact_missing": "true"})
        return
    runs.log_metrics(job, step_metrics(artifact / "metrics.jsonl"))
    runs.log_metrics(job, final_scores(artifact / "scores.json", event.stage))
    for path in [store / event.manifest, *(artifact / name for name in FILES)]:
        if path.is_file():
            runs.client.log_artifact(job.info.run_id, str(path))


def _link(event: JobCommitted, runs: Runs, job: Any, store: Path, at: int) -> None:
    scores = final_scores(store / event.artifact / "scores.json", event.stage)
    users = [_run_of(run, runs, at) for run in event.used_by]
    for user in users:
        job_tag = f"ablate.uses.{event.stage}-{event.fingerprint}"
        runs.set_tags(user, {job_tag: job.info.run_id})
        runs.log_metrics(user, scores)
    if len(users) == 1:
        runs.set_tags(job, {PARENT: users[0].info.run_id})
    else:
        runs.remove_tag(job, PARENT)


def _run_of(run: str, runs: Runs, at: int) -> Any:
    cell, seed, _ = run.rsplit("/", 2)
    return runs.upsert(_run_tag(run), f"{cell}, seed {seed}", start_ms=at)


def _end(run: str, runs: Runs, status: str, *, at: int) -> None:
    found = _run_of(run, runs, at)
    runs.client.set_terminated(found.info.run_id, status, at)
    runs.refresh(_run_tag(run))


def _run_tag(run: str) -> str:
    return f"run {run}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
