"""Live progress of a study: one line that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TextIO

from ablate.cli.forecast import Pace, seconds_left
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


_MEANINGS = {
    "running": "jobs are started again",
    "paused": "what runs goes on, nothing new is started. Go on with: ablate ctl resume",
    "draining": "nothing new is started, what runs may end.",
    "stopping": "what runs stops after its next checkpoint.",
    "killing": "what runs is killed; its last checkpoints stay",
}
_AGAIN = {
    "draining": " Ctrl-C once more stops it after its next checkpoint.",
    "stopping": " Ctrl-C once more kills it.",
}


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
        """Start with what is known of earlier jobs' costs; ``estimator`` learns from new ones.

        A ``plan`` that will grow is one of the size that the whole will have.
        """
        self._plan, self._estimator, self._slots, self._stream = plan, estimator, slots, stream
        self._live = use_colour(stream)
        self._done: set[str] = set()
        self._running: dict[str, Job] = {}
        self._paces: dict[str, Pace] = {}
        self._started: dict[str, float] = {}
        self._state = "running"
        self._next = 0.0

    def extend(self, plan: Plan) -> None:
        """Go on with a plan that has grown."""
        self._plan = plan

    def job_started(self, job: Job, attempt: int) -> None:
        """Show the job among the running ones."""
        self._running[job.fingerprint] = job
        self._started[job.fingerprint] = time.monotonic()
        self._paces.pop(job.fingerprint, None)
        if attempt > 1:
            self.note(f"{_name(job)}: attempt {attempt}")
        self._draw()

    def job_progress(self, job: Job, progress: Mapping[str, Any]) -> None:
        """Move the job's own share forward."""
        if progress.get("total"):
            self._moved(job.fingerprint, min(1.0, progress["done"] / progress["total"]))
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

    def study_state(self, state: str, reason: str) -> None:
        """Say at once that the study pauses, goes on, drains or stops, and what comes next."""
        if state == self._state:
            return
        self._state = state
        because = f" ({reason})" if reason else ""
        again = _AGAIN.get(state, "") if self._stream.isatty() else ""
        self.note(f"{state}{because}: {_MEANINGS.get(state, '')}{again}")

    def note(self, message: str) -> None:
        """Print a line of its own."""
        self._clear()
        print(message, file=self._stream, flush=True)

    def close(self) -> None:
        """Leave the cursor on a fresh line."""
        self._clear()

    def _moved(self, name: str, fraction: float) -> None:
        age = time.monotonic() - self._started.get(name, time.monotonic())
        first = self._paces.get(name, Pace(age, fraction, age, fraction))
        self._paces[name] = replace(first, seconds=age, fraction=fraction)

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
        every = self._plan.every_run
        runs = [{job.fingerprint for job in run.jobs.values()} <= self._done for run in every]
        complete = Counter(run.cell.name for run, done in zip(every, runs, strict=True) if done)
        wanted = Counter(run.cell.name for run in self._plan.runs)
        state = "" if self._state == "running" else f"{self._state} · "
        cells = sum(complete[name] == count for name, count in wanted.items())
        return (
            f"{len(self._done)}/{len(self._plan.jobs)} jobs · {sum(runs)}/{len(runs)} runs · "
            f"{cells}/{len(wanted)} cells · {self._now_running()} · {state}"
            f"{duration(self.seconds_left())} left"
        )

    def _now_running(self) -> str:
        parts = []
        for key, job in self._running.items():
            pace = self._paces.get(key)
            share = f" {pace.fraction:.0%}" if pace is not None else ""
            kind = getattr(job.config, "algorithm", None)
            parts.append(f"{kind or job.stage}{share}")
        return ", ".join(parts) or "starting"

    def seconds_left(self) -> float:
        """Return the expected time to the end, counting what running jobs have done."""
        seconds = {
            job.fingerprint: self._left(job)
            for job in self._plan.jobs
            if job.fingerprint not in self._done
        }
        return wall_seconds(self._plan.jobs, seconds, slots=self._slots, done=self._done)

    def _left(self, job: Job) -> float:
        expected, name = self._estimator.job(job).seconds, job.fingerprint
        if name not in self._running:
            return expected
        age = time.monotonic() - self._started[name]
        pace = self._paces.get(name)
        return seconds_left(expected, Pace(age) if pace is None else replace(pace, seconds=age))


def _name(job: Job) -> str:
    return f"{job.stage}-{job.fingerprint}"


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns - 1
    except OSError:
        return 100
