"""A user's own command, run when something happens that is worth waking up for."""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ablate.errors import StudyError
from ablate.execution.failures import Failure
from ablate.execution.listener import Listener, Queued
from ablate.plan.job import Job

logger = logging.getLogger(__name__)

HOOK_SECONDS = 60.0
"""For one run of the command."""
LAST_SECONDS = 90.0
"""For what is still to be told when the study has ended."""
MOST_BEHIND = 20
"""Failed jobs that may wait to be told; of more only the number is."""
_STATES = {
    "paused": "study_paused",
    "running": "study_resumed",
    "draining": "study_draining",
    "stopping": "study_stopping",
    "killing": "study_stopping",
}


class EventHook(Listener):
    """Runs a command for every event, with the event as JSON on its standard input.

    The command is split into words once, as a shell would, and run without a shell: nothing of a
    study can become part of a command. ``ABLATE_EVENT`` holds the event's name. To be used inside
    `Queued`, because a command takes its time.
    """

    def __init__(
        self,
        command: str,
        *,
        study: str,
        store: Path,
        cells: Callable[[Job], Sequence[str]] = lambda job: (),
        seconds: float = HOOK_SECONDS,
    ) -> None:
        """Run ``command``; raises StudyError where it has no words or cannot be split."""
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise StudyError(f"--on-event: {command!r}: {error}. Close the quote.") from error
        if not self._words:
            raise StudyError("--on-event: there is no command. Give one, such as 'notify-send'.")
        self._about = {"study": study, "store": str(store)}
        self._cells, self._seconds = cells, seconds
        self._complained = False
        self._state = "running"
        self._untold = 0
        self.behind: Callable[[], int] = lambda: 0
        """How many calls wait; set by who queues them."""

    def job_failed(self, job: Job, failure: Failure, *, attempt: int, retried: bool) -> None:
        """Tell of a job that was given up."""
        if retried:
            return
        if self.behind() > MOST_BEHIND:
            self._untold += 1
            return
        name = f"{job.stage}-{job.fingerprint}"
        cells = list(self._cells(job))
        self.send("job_failed", job=name, cells=cells, attempt=attempt, **failure.as_json())

    def study_state(self, state: str, reason: str) -> None:
        """Tell that the study pauses, goes on, drains or stops."""
        event = _STATES.get(state)
        if event is not None and state != self._state:
            self._state = state
            self.send(event, reason=reason)

    def send(self, event: str, **fields: Any) -> None:
        """Run the command for one event and wait for it."""
        record = {"event": event, "time": time.time(), **self._about, **fields}
        if self._untold:
            record["untold_failures"], self._untold = self._untold, 0
        if problem := self._run(event, json.dumps(record, default=str).encode() + b"\n"):
            # Once: a command that is wrong now will be wrong all night.
            if not self._complained:
                logger.warning("--on-event %s: %s; not said again", self._words[0], problem)
            self._complained = True

    def _run(self, event: str, record: bytes) -> str:
        """Return what went wrong, or nothing."""
        environment = {**os.environ, "ABLATE_EVENT": event}
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as given:
            # Files, not pipes: a command that reads nothing, or that leaves a child behind which
            # holds its output open, ends when it ends.
            given.write(record)
            given.seek(0)
            try:
                process = subprocess.Popen(
                    self._words,
                    stdin=given,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                return f"cannot be run: {error}"
            try:
                code = process.wait(self._seconds)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return f"killed after {self._seconds:.0f} s"
            said.seek(0, os.SEEK_END)
            said.seek(max(0, said.tell() - 300))
            text = said.read().decode(errors="replace").strip()
        return f"ended with status {code}: {text}" if code else ""


class QueuedHook(Listener):
    """An `EventHook` in a thread of its own; only what it tells of is queued."""

    def __init__(self, hook: EventHook) -> None:
        """Start the thread."""
        self._hook, self._queued = hook, Queued(hook)
        hook.behind = self._queued.waiting

    def job_failed(self, job: Job, failure: Failure, *, attempt: int, retried: bool) -> None:
        """Queue it."""
        if not retried:
            self._queued.job_failed(job, failure, attempt=attempt, retried=False)

    def study_state(self, state: str, reason: str) -> None:
        """Queue it."""
        self._queued.study_state(state, reason)

    def send(self, event: str, **fields: Any) -> None:
        """Tell of an event that no listener hears of; returns at once."""
        self._queued.put(lambda listener: self._hook.send(event, **fields))

    def end(self, **fields: Any) -> None:
        """Tell that the study has ended, and wait for the command; not for ever."""
        self.send("study_ended", **fields)
        if not self._queued.close(LAST_SECONDS):
            logger.warning("--on-event: what is not told by now stays untold")
