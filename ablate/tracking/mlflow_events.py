"""What each event becomes in MLflow.

A run of the study is one MLflow run. A job that one run uses is a child of it; a job that several
share is a run of its own. Either way each using run carries a tag
``ablate.uses.<stage>-<fingerprint>`` whose value is the job's MLflow run.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from ablate.tracking.destination import Refused
from ablate.tracking.events import JobCommitted, Recorded, RunFailed, RunFinished, RunStarted
from ablate.tracking.flatten import VALUE_LENGTH, clean_name, final_scores, flatten, step_metrics
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
            runs.add(run, tags={FAILURE: failure})
            _end(event.run, runs, "FAILED", at=at)


def _start(event: RunStarted, runs: Runs, at: int) -> None:
    tags = {"ablate.cell": event.cell, "ablate.seed": str(event.seed)}
    run = _run_of(event.run, runs, at, tags=tags)
    levels = {f"factor.{name}": level for name, level in event.levels.items()}
    runs.add(run, params=flatten({**levels, **event.params, "seed": event.seed}), tags=tags)


def _commit(event: JobCommitted, runs: Runs, store: Path, *, at: int) -> None:
    users = [_run_of(run, runs, at) for run in event.used_by]
    parent = {PARENT: users[0].info.run_id} if len(users) == 1 else {}
    start = at - round(1000 * (event.seconds or 0.0))
    name = f"{event.stage} {event.fingerprint[:8]}"
    tags = {**_tags(event), **parent}
    job = runs.upsert(f"job {event.fingerprint}", name, start_ms=start, tags=tags)
    if job.data.tags.get(COMPLETE) != "true":
        _fill(event, runs, job, store)
        runs.client.set_terminated(job.info.run_id, "FINISHED", at)
    scores = final_scores(store / event.artifact / "scores.json", event.stage)
    uses = {f"ablate.uses.{event.stage}-{event.fingerprint}": job.info.run_id}
    for user in users:
        runs.add(user, tags=uses, metrics=scores)
    if not parent:
        runs.remove_tag(job, PARENT)
    runs.add(job, tags={**parent, COMPLETE: "true"})


def _tags(event: JobCommitted) -> dict[str, str]:
    return {
        "ablate.stage": event.stage,
        "ablate.fingerprint": event.fingerprint,
        "ablate.attempt": str(event.attempt),
        "ablate.artifact": event.artifact,
        **{clean_name(f"ablate.input.{role}"): value for role, value in event.inputs.items()},
    }


def _fill(event: JobCommitted, runs: Runs, job: Any, store: Path) -> None:
    artifact = store / event.artifact
    params = flatten({event.stage: event.config})
    if not artifact.is_dir():
        logger.warning("artifact %s is gone; its metrics and scores are not sent", event.artifact)
        tags = {**_tags(event), "ablate.artifact_missing": "true"}
        runs.add(job, params=params, tags=tags)
        return
    steps = step_metrics(artifact / "metrics.jsonl")
    scores = final_scores(artifact / "scores.json", event.stage)
    runs.add(job, params=params, tags=_tags(event), metrics=chain(steps, scores))
    for path in [store / event.manifest, *(artifact / name for name in FILES)]:
        if path.is_file():
            runs.client.log_artifact(job.info.run_id, str(path))


def _run_of(run: str, runs: Runs, at: int, *, tags: Mapping[str, str] | None = None) -> Any:
    cell, seed, _ = run.rsplit("/", 2)
    return runs.upsert(_run_tag(run), f"{cell}, seed {seed}", start_ms=at, tags=tags)


def _end(run: str, runs: Runs, status: str, *, at: int) -> None:
    found = _run_of(run, runs, at)
    runs.client.set_terminated(found.info.run_id, status, at)


def _run_tag(run: str) -> str:
    return f"run {run}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
