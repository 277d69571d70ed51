"""Tells the tracker what the controller does, as events in the study's outbox."""

from __future__ import annotations

from pathlib import Path

from ablate.execution.failures import Failure
from ablate.execution.listener import Listener
from ablate.plan.build import Plan, Run
from ablate.plan.job import Job
from ablate.store.manifest import Manifest
from ablate.tracking.events import JobCommitted, RunFailed, RunFinished, RunStarted, run_key
from ablate.tracking.outbox import Outbox


class Track(Listener):
    """Appends to the outbox; a separate process carries it to MLflow."""

    def __init__(self, plan: Plan, outbox: Outbox) -> None:
        """Announce every run of the plan."""
        self._outbox = outbox
        self._users: dict[str, list[str]] = {}
        self._waits: dict[str, set[str]] = {}
        for run in plan.runs:
            key = _key(run)
            keys = {job.fingerprint for job in run.jobs.values()}
            self._waits[key] = keys
            for fingerprint in keys:
                self._users.setdefault(fingerprint, []).append(key)
            params = {role: job.config.model_dump(mode="json") for role, job in run.jobs.items()}
            outbox.append(
                RunStarted(key, run.cell.name, run.seed, params, levels=dict(run.cell.levels))
            )

    def job_committed(self, job: Job, manifest: Manifest) -> None:
        """Send the job, and every run that it completes."""
        artifact = Path("artifacts") / job.stage / job.fingerprint
        used_by = self._users.get(job.fingerprint, [])
        self._outbox.append(
            JobCommitted(
                stage=job.stage,
                fingerprint=job.fingerprint,
                attempt=manifest.attempt,
                artifact=str(artifact),
                manifest=str(artifact / "manifest.json"),
                config=dict(manifest.config),
                inputs=dict(manifest.inputs),
                used_by=tuple(used_by),
                seconds=manifest.wall_seconds,
            )
        )
        for key in used_by:
            self._waits[key].discard(job.fingerprint)
            if not self._waits[key]:
                self._outbox.append(RunFinished(key))

    def job_cached(self, job: Job, manifest: Manifest) -> None:
        """Send the job as well: another study, or an earlier call, computed it."""
        self.job_committed(job, manifest)

    def job_failed(self, job: Job, failure: Failure, attempt: int, retried: bool) -> None:
        """Send the end of every run that needs the job, unless another attempt follows."""
        if retried:
            return
        for key in self._users.get(job.fingerprint, []):
            self._outbox.append(RunFailed(key, job.stage, str(failure.kind), failure.message))


def _key(run: Run) -> str:
    return run_key(run.cell.name, run.seed, (job.fingerprint for job in run.jobs.values()))
