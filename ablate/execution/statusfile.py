"""The controller's word about a study, replaced atomically for everyone who only reads."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ablate.execution.book import Book, JobState
from ablate.execution.watching import Running
from ablate.store.files import surroundings, write_json

SHORTEST_SECONDS = 0.5
"""Between two writings, unless the study ends."""
LARGEST_SHARE = 0.02
"""Of the controller's time spent on writing: a large study is written less often."""


class StatusFile:
    """Writes ``status.json`` of one study."""

    def __init__(self, path: Path, study: str) -> None:
        """Write to ``path``."""
        self._path, self._study = path, study
        self._started = time.time()
        self._next = 0.0
        self._seconds: dict[str, list[float]] = {}

    def took(self, stage: str, seconds: float) -> None:
        """Remember how long a job of ``stage`` took, for estimates of the rest."""
        self._seconds.setdefault(stage, []).append(seconds)

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
            "stages": {
                stage: {**row, "seconds": self._seconds.get(stage, [])[-100:]}
                for stage, row in book.counts().items()
            },
            "running": [_running_row(item, now) for item in running],
            "failed": [_failed_row(book, name) for name in book.failures],
            "skipped": dict(book.skipped),
            "cached": [n for n, found in book.states.items() if found is JobState.CACHED],
        }
        with surroundings(self._path):
            write_json(self._path, record, durable=False)
        cost = time.monotonic() - now
        self._next = now + max(SHORTEST_SECONDS, cost / LARGEST_SHARE)


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


def _running_row(item: Running, now: float) -> Mapping[str, Any]:
    return {
        "stage": item.job.stage,
        "fingerprint": item.job.fingerprint,
        "attempt": item.attempt.number,
        "seconds": now - item.started,
        "progress": dict(item.progress),
        "hung": item.is_hung,
    }


def _failed_row(book: Book, name: str) -> Mapping[str, Any]:
    failure = book.failures[name].as_json()
    return {"stage": book.jobs[name].stage, "fingerprint": name, **failure}
