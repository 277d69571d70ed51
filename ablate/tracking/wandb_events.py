"""What each event becomes in Weights & Biases.

The group is the study. A job is a run of the job type that its stage has, written when it is
committed; a run of the study (cell and seed) is one of the type ``run``, written when it ends, with
its configuration, its final scores and the ids of its jobs.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import wandb

from ablate.tracking import wandb_runs as runs
from ablate.tracking.events import JobCommitted, Recorded, RunFailed, RunFinished, RunStarted
from ablate.tracking.flatten import final_scores, steps
from ablate.tracking.history import History
from ablate.tracking.targets import wandb_mode, wandb_project

logger = logging.getLogger(__name__)

SENT = "sent"
RUN_TYPE = "run"
CAUSE_LENGTH = 1000


class WandbDestination:
    """One study's group of runs, in offline folders or on a server."""

    def __init__(self, store: Path, study: str, address: str = "") -> None:
        """Clear away what a killed process left; no run is open."""
        self._store, self._study = store, study
        self._folder = store / "wandb" / study
        self._folder.mkdir(parents=True, exist_ok=True)
        self._online = wandb_mode() == "online"
        self._project = wandb_project()
        # What a server has is kept by its address, so that another one gets everything.
        server = hashlib.sha256(address.encode()).hexdigest()[:12]
        self._sent = self._folder / f"{SENT}-{server}"
        self._history = History()
        runs.remove_leftovers(self._folder)

    def remember(self, recorded: Recorded) -> None:
        """Learn what runs were announced and which jobs they have."""
        self._history.add(recorded)

    def deliver(self, recorded: Recorded) -> None:
        """Write what the event completes."""
        self._history.add(recorded)
        match recorded.event:
            case RunStarted():
                pass  # Written when it ends.
            case JobCommitted() as event:
                if self._said(self._job_id(event.fingerprint)) is None:
                    self._write(self._job(event, recorded.time_ms))
            case RunFinished() as event:
                self._write(self._run(event.run, recorded.time_ms, failure=None))
            case RunFailed() as event:
                why = f"{event.stage}: {event.kind}: {event.message}"[:CAUSE_LENGTH]
                self._write(self._run(event.run, recorded.time_ms, failure=why))

    def flush(self) -> None:
        """Do nothing: every run is written at once."""

    def close(self) -> None:
        """End W&B's own process."""
        wandb.teardown()

    def _write(self, run: runs.WholeRun) -> None:
        if self._said(run.id) == run.digest:
            return
        if not self._online:
            runs.write_offline(run, self._folder, self._project)
            return
        runs.send_online(run, self._folder, self._project)
        self._sent.mkdir(exist_ok=True)
        (self._sent / run.id).write_text(run.digest, encoding="utf-8")

    def _said(self, run_id: str) -> str | None:
        """Return the digest of what was written of a run; None where nothing was."""
        if not self._online:
            return runs.said(self._folder, run_id)
        try:
            return (self._sent / run_id).read_text(encoding="utf-8")
        except OSError:
            return None

    def _job(self, event: JobCommitted, at: int) -> runs.WholeRun:
        artifact = self._store / event.artifact
        facts: dict[str, Any] = {
            "fingerprint": event.fingerprint,
            "attempt": event.attempt,
            "artifact": event.artifact,
            "inputs": dict(event.inputs),
        }
        if not artifact.is_dir():
            logger.warning("artifact %s is gone; its metrics are not sent", event.artifact)
            facts["artifact_missing"] = True
        return runs.WholeRun(
            id=self._job_id(event.fingerprint),
            name=f"{event.stage} {event.fingerprint[:8]}",
            group=self._study,
            job_type=event.stage,
            started_ms=at - round(1000 * (event.seconds or 0.0)),
            config={"ablate": facts, event.stage: dict(event.config)},
            tags=(event.stage,),
            steps=steps(artifact / "metrics.jsonl"),
            summary=self._scores(event.stage, event.artifact),
        )

    def _run(self, key: str, at: int, *, failure: str | None) -> runs.WholeRun:
        cell, seed, _ = key.rsplit("/", 2)
        started_ms, begun = self._history.started(key) or (at, None)
        levels = dict(begun.levels) if begun else {}
        jobs = self._history.jobs(key)
        facts = {"cell": cell, "seed": int(seed), "key": key}
        ids = {f"{job.stage}-{job.fingerprint}": self._job_id(job.fingerprint) for job in jobs}
        summary: dict[str, Any] = {}
        for job in jobs:
            summary.update(self._scores(job.stage, job.artifact))
        if failure:
            summary["ablate.failure"] = failure
        return runs.WholeRun(
            id=self._id("run", key),
            name=f"{cell}, seed {seed}",
            group=self._study,
            job_type=RUN_TYPE,
            started_ms=started_ms,
            config={
                **(begun.params if begun else {}),
                "ablate": {**facts, "jobs": ids},
                "factor": levels,
            },
            tags=(cell, *(f"{name}={level}" for name, level in levels.items())),
            summary=summary,
            failed=failure is not None,
        )

    def _scores(self, stage: str, artifact: str) -> dict[str, float]:
        path = self._store / artifact / "scores.json"
        return {name: value for _, name, value in final_scores(path, stage)}

    def _job_id(self, fingerprint: str) -> str:
        return self._id("job", fingerprint)

    def _id(self, kind: str, key: str) -> str:
        # The project is shared by studies, and a job by the studies of a store.
        return hashlib.sha256(f"{self._study}\n{kind}\n{key}".encode()).hexdigest()[:16]
