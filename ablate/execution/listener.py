"""What a controller tells others while it runs."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ablate.execution.failures import Failure
from ablate.plan.job import Job
from ablate.store.manifest import Manifest

logger = logging.getLogger(__name__)


class Listener:
    """Hears of every change of state; each method may be left out.

    Methods are called inside the scheduling loop, so they must be quick; `Queued` moves them out
    of it. What they raise is logged and changes nothing.
    """

    def job_started(self, job: Job, attempt: int) -> None:
        """An attempt was handed to the engine."""

    def job_progress(self, job: Job, progress: Mapping[str, Any]) -> None:
        """A running job said how far it is: ``done`` and ``total`` in its own steps."""

    def job_committed(self, job: Job, manifest: Manifest) -> None:
        """The artifact exists now."""

    def job_cached(self, job: Job, manifest: Manifest) -> None:
        """The artifact existed already, or another study committed it."""

    def job_failed(self, job: Job, failure: Failure, *, attempt: int, retried: bool) -> None:
        """An attempt ended badly; ``retried`` says whether another one follows."""

    def job_skipped(self, job: Job, reason: str) -> None:
        """The job cannot run, because one it reads from failed."""

    def job_shared(self, job: Job, holder: Mapping[str, Any]) -> None:
        """Another study runs the job; its artifact is waited for."""

    def study_state(self, state: str, reason: str) -> None:
        """The study is ``running``, ``paused``, ``draining``, ``stopping`` or ``killing`` now."""

    def note(self, message: str) -> None:
        """Something a user wants to know that belongs to no single job."""


class Guarded(Listener):
    """Passes every call to several listeners and keeps their errors from the study."""

    def __init__(self, *listeners: Listener) -> None:
        """Tell ``listeners``, in this order."""
        self._listeners = listeners

    def job_started(self, job: Job, attempt: int) -> None:
        """Pass on."""
        self._tell(lambda listener: listener.job_started(job, attempt))

    def job_progress(self, job: Job, progress: Mapping[str, Any]) -> None:
        """Pass on."""
        self._tell(lambda listener: listener.job_progress(job, progress))

    def job_committed(self, job: Job, manifest: Manifest) -> None:
        """Pass on."""
        self._tell(lambda listener: listener.job_committed(job, manifest))

    def job_cached(self, job: Job, manifest: Manifest) -> None:
        """Pass on."""
        self._tell(lambda listener: listener.job_cached(job, manifest))

    def job_failed(self, job: Job, failure: Failure, *, attempt: int, retried: bool) -> None:
        """Pass on."""
        self._tell(
            lambda listener: listener.job_failed(job, failure, attempt=attempt, retried=retried)
        )

    def job_skipped(self, job: Job, reason: str) -> None:
        """Pass on."""
        self._tell(lambda listener: listener.job_skipped(job, reason))

    def job_shared(self, job: Job, holder: Mapping[str, Any]) -> None:
        """Pass on."""
        self._tell(lambda listener: listener.job_shared(job, holder))

    def study_state(self, state: str, reason: str) -> None:
        """Pass on."""
        self._tell(lambda listener: listener.study_state(state, reason))

    def note(self, message: str) -> None:
        """Pass on."""
        self._tell(lambda listener: listener.note(message))

    def _tell(self, call: Callable[[Listener], None]) -> None:
        for listener in self._listeners:
            self._deliver(listener, call)

    def _deliver(self, listener: Listener, call: Callable[[Listener], None]) -> None:
        try:
            call(listener)
        except Exception:  # A display or a tracker must not end a study.
            logger.exception("%s failed", type(listener).__name__)


class Queued(Guarded):
    """Passes calls on from a thread of its own, in order: a slow listener delays no job."""

    def __init__(self, *listeners: Listener) -> None:
        """Start the thread."""
        super().__init__(*listeners)
        self._calls: queue.SimpleQueue[Callable[[Listener], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="listeners", daemon=True)
        self._thread.start()

    def close(self, timeout_seconds: float | None = None) -> bool:
        """Wait until everything is delivered; False if that takes too long."""
        self._calls.put(None)
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def put(self, call: Callable[[Listener], None]) -> None:
        """Let the thread make a call, after those that wait."""
        self._calls.put(call)

    def waiting(self) -> int:
        """Return how many calls wait."""
        return self._calls.qsize()

    def _tell(self, call: Callable[[Listener], None]) -> None:
        self.put(call)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            super()._tell(call)
