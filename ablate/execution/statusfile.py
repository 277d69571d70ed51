"""The controller's word about a study, replaced atomically for everyone who only reads."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.execution.book import Book, JobState
from ablate.execution.watching import Running
from ablate.plan.job import Job
from ablate.store.files import surroundings, write_json

SHORTEST_SECONDS = 0.5
"""Between two writings, unless the study ends."""
LARGEST_SHARE = 0.02
"""Of the controller's time spent on writing: a large study is written less often."""


@dataclass(frozen=True)
class Sign:
    """When an attempt first said how far it was."""

    fraction: float
    """Of the job, done by then."""
    seconds: float
    """Since it was handed to the engine."""


class StatusFile:
    """Writes ``status.json`` of one study."""

    def __init__(self, path: Path, study: str) -> None:
        """Write to ``path``."""
        self._path, self._study = path, study
        self._started = time.time()
        self._next = 0.0
        self._seconds: dict[str, float] = {}
        self._first: dict[str, Sign] = {}

    def took(self, job: Job, seconds: float) -> None:
        """Remember how long a job took, for estimates of the rest."""
        self._seconds[job.fingerprint] = round(seconds, 3)

    def write(
        self,
        book: Book,
        running: Iterable[Running],
        *,
        state: str,
        reason: str = "",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Replace the file; ``state`` is running, paused, draining, stopping or ended."""
        now = time.monotonic()
        if state != "ended" and now < self._next:
            return
        record = {
            "schema": 1,
            "study": self._study,
            "state": state,
            "reason": reason,
            "settings": dict(settings or {}),
            "started": self._started,
            "updated": time.time(),
            "stages": book.counts(),
            "running": [self._running_row(item, now) for item in running],
            "failed": [_failed_row(book, name) for name in book.failures],
            "skipped": dict(book.skipped),
            "cached": [n for n, found in book.states.items() if found is JobState.CACHED],
            "took": self._seconds,
        }
        with surroundings(self._path):
            write_json(self._path, record, durable=False)
        cost = time.monotonic() - now
        self._next = now + max(SHORTEST_SECONDS, cost / LARGEST_SHARE)

    def _running_row(self, item: Running, now: float) -> Mapping[str, Any]:
        seconds = now - item.started
        name = item.attempt.name
        if item.progress and name not in self._first:
            # Of an attempt that goes on from a checkpoint only the time since then tells its pace.
            self._first[name] = Sign(item.fraction, seconds)
        first = self._first.get(name, Sign(0.0, 0.0))
        return {
            "stage": item.job.stage,
            "fingerprint": item.job.fingerprint,
            "attempt": item.attempt.number,
            "seconds": seconds,
            "first": {"fraction": first.fraction, "seconds": first.seconds},
            "progress": {**item.progress, "tokens_per_second": item.speed},
            "device_bytes": item.device_bytes,
            "hung": item.is_hung,
            "stopping": item.is_stopping,
        }


def plan_record(book: Book) -> dict[str, Any]:
    """Return the study's jobs in order, as kept in ``plan.json``."""
    jobs = [
        {
            "fingerprint": job.fingerprint,
            "stage": job.stage,
            "config_class": type(job.config).__name__,
            "config": job.config.model_dump(mode="json"),
            "inputs": {role: upstream.fingerprint for role, upstream in job.inputs},
        }
        for job in book.jobs.values()
    ]
    return {"schema": 1, "jobs": jobs}


def _failed_row(book: Book, name: str) -> Mapping[str, Any]:
    failure = book.failures[name].as_json()
    return {"stage": book.jobs[name].stage, "fingerprint": name, **failure}
