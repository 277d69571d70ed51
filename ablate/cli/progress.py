"""Live progress of a study: one line that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, TextIO

from ablate.cli.output import duration, use_colour
from ablate.execution.failures import Failure
from ablate.execution.listener import Listener
from ablate.plan.build import Plan
from ablate.plan.estimate import Estimator, Measured, job_kind, model_of, wall_seconds
from ablate.plan.job import Job
from ablate.plan.size import job_size
from ablate.store.manifest import Manifest

REDRAW_SECONDS = 0.5
PLAIN_SECONDS = 15.0
"""Between two lines where lines cannot be redrawn."""


class Progress(Listener):
    """Draws stage, cells done and time left from what the controller tells."""

    def __init__(
        self,
        plan: Plan,
        estimator: Estimator,
        *,
        slots: int,
        stream: TextIO = sys.stderr,
    ) -> None:
        """Start with what is known of earlier jobs' costs; ``estimator`` learns from new ones."""
        self._plan, self._estimator, self._slots, self._stream = plan, estimator, slots, stream
        self._live = use_colour(stream)
        self._done: set[str] = set()
        self._running: dict[str, Job] = {}
        self._fractions: dict[str, float] = {}
        self._next = 0.0

    def extend(self, plan: Plan) -> None:
        """Go on with a plan that has grown."""
        self._plan = plan

    def job_started(self, job: Job, attempt: int) -> None:
        """Show the job among the running ones."""
        self._running[job.fingerprint] = job
        if attempt > 1:
            self.note(f"{_name(job)}: attempt {attempt}")
        self._draw()

    def job_progress(self, job: Job, progress: Mapping[str, Any]) -> None:
        """Move the job's own share forward."""
        if progress.get("total"):
            self._fractions[job.fingerprint] = progress["done"] / progress["total"]
        self._draw()

    def job_committed(self, job: Job, manifest: Manifest) -> None:
        """Count the job and learn from what it cost."""
        self._end(job)
        self._estimator.learn(
            Measured(job.stage, job_kind(job), job_size(job), manifest.wall_seconds, model_of(job))
        )
        self._draw()

    def job_cached(self, job: Job, manifest: Manifest) -> None:
        """Count the job."""
        self._end(job)

    def job_failed(self, job: Job, failure: Failure, attempt: int, retried: bool) -> None:
        """Say it at once, with its class."""
        self._running.pop(job.fingerprint, None)
        after = "trying again" if retried else "giving up"
        self.note(f"{_name(job)}: {failure.kind}: {failure.message} (attempt {attempt}, {after})")

    def job_skipped(self, job: Job, reason: str) -> None:
        """Say why a job will not run."""
        self.note(f"{_name(job)}: skipped, {reason}")

    def job_shared(self, job: Job, holder: Mapping[str, Any]) -> None:
        """Say who runs the job."""
        self.note(f"{_name(job)}: runs in study {holder.get('study', 'unknown')}; waiting for it")

    def note(self, message: str) -> None:
        """Print a line of its own."""
        self._clear()
        print(message, file=self._stream, flush=True)

    def close(self) -> None:
        """Leave the cursor on a fresh line."""
        self._clear()

    def _end(self, job: Job) -> None:
        self._done.add(job.fingerprint)
        self._running.pop(job.fingerprint, None)

    def _draw(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (REDRAW_SECONDS if self._live else PLAIN_SECONDS)
        line = self.line()
        if self._live:
            print(f"\r\033[2K{line[: _width()]}", end="", file=self._stream, flush=True)
        else:
            print(line, file=self._stream, flush=True)

    def _clear(self) -> None:
        if self._live:
            print("\r\033[2K", end="", file=self._stream, flush=True)

    def line(self) -> str:
        """Return jobs, cells, what runs, and the time left."""
        runs = [
            {job.fingerprint for job in run.jobs.values()} <= self._done for run in self._plan.runs
        ]
        complete = Counter(
            run.cell.name for run, done in zip(self._plan.runs, runs, strict=True) if done
        )
        wanted = Counter(run.cell.name for run in self._plan.runs)
        cells = sum(complete[name] == count for name, count in wanted.items())
        return (
            f"{len(self._done)}/{len(self._plan.jobs)} jobs · {sum(runs)}/{len(runs)} runs · "
            f"{cells}/{len(wanted)} cells · {self._now_running()} · "
            f"{duration(self.seconds_left())} left"
        )

    def _now_running(self) -> str:
        parts = []
        for key, job in self._running.items():
            share = f" {self._fractions[key]:.0%}" if key in self._fractions else ""
            kind = getattr(job.config, "algorithm", None)
            parts.append(f"{kind or job.stage}{share}")
        return ", ".join(parts) or "starting"

    def seconds_left(self) -> float:
        """Return the expected time to the end, counting what running jobs have done."""
        seconds = {
            job.fingerprint: self._estimator.job(job).seconds
            * (1.0 - self._fractions.get(job.fingerprint, 0.0))
            for job in self._plan.jobs
            if job.fingerprint not in self._done
        }
        return wall_seconds(self._plan.jobs, seconds, slots=self._slots, done=self._done)


def _name(job: Job) -> str:
    return f"{job.stage}-{job.fingerprint}"


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns - 1
    except OSError:
        return 100
