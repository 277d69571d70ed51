"""Tells the trackers what the controller does, as events in the study's outbox."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ablate.execution.failures import Failure
from ablate.execution.listener import Listener
from ablate.plan.build import Plan, Run
from ablate.plan.job import Job
from ablate.store.manifest import Manifest
from ablate.tracking.events import JobCommitted, RunFailed, RunFinished, RunStarted, run_key
from ablate.tracking.outbox import Outbox


class Track(Listener):
    """Appends to the outbox; a separate process carries it to every destination."""

    def __init__(self, plan: Plan, outbox: Outbox) -> None:
        """Announce every run of the plan."""
        self._outbox = outbox
        self._users: dict[str, list[str]] = {}
        self._waits: dict[str, set[str]] = {}
        self._committed: dict[str, JobCommitted] = {}
        self.extend(plan)

    def extend(self, plan: Plan) -> None:
        """Announce the runs of a plan that grew; known ones among them are passed over.

        A job that is done already and that a new run uses is sent again, with all its users.
        """
        gained: dict[str, None] = {}
        for run in plan.every_run:
            if (key := _key(run)) not in self._waits:
                gained.update(dict.fromkeys(self._announce(run, key)))
        for fingerprint in gained:
            self._send(self._committed[fingerprint])

    def _announce(self, run: Run, key: str) -> list[str]:
        """Tell of a run; return the fingerprints of its jobs that are committed already."""
        keys = {job.fingerprint: None for job in run.jobs.values()}
        self._waits[key] = set(keys)
        for fingerprint in keys:
            self._users.setdefault(fingerprint, []).append(key)
        params = {role: job.config.model_dump(mode="json") for role, job in run.jobs.items()}
        self._outbox.append(
            RunStarted(key, run.cell.name, run.seed, params, levels=dict(run.cell.levels))
        )
        return [fingerprint for fingerprint in keys if fingerprint in self._committed]

    def job_committed(self, job: Job, manifest: Manifest) -> None:
        """Send the job, and every run that it completes."""
        artifact = Path("artifacts") / job.stage / job.fingerprint
        event = JobCommitted(
            stage=job.stage,
            fingerprint=job.fingerprint,
            attempt=manifest.attempt,
            artifact=str(artifact),
            manifest=str(artifact / "manifest.json"),
            config=dict(manifest.config),
            inputs=dict(manifest.inputs),
            used_by=(),
            seconds=manifest.wall_seconds,
        )
        self._committed[job.fingerprint] = event
        self._send(event)

    def _send(self, event: JobCommitted) -> None:
        used_by = self._users.get(event.fingerprint, [])
        self._outbox.append(replace(event, used_by=tuple(used_by)))
        for key in used_by:
            self._waits[key].discard(event.fingerprint)
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
