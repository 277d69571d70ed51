"""The sign of life of a worker: a file replaced every few seconds by a thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ablate.store.attempts import Attempt
from ablate.store.files import write_json
from ablate.store.processes import this_process

EXIT_DISK_FULL = 74
"""Exit status of a worker that cannot even write its exit record (EX_IOERR of sysexits.h)."""
EXIT_FENCED = 75
"""Exit status of a worker that was superseded, or could not beat for too long."""


class Heart:
    """Writes ``heartbeat`` until stopped, and ends the process when it may no longer run."""

    def __init__(self, attempt: Attempt, *, every_seconds: float, stale_seconds: float) -> None:
        """Write the first beat: from here on the controller knows the process."""
        self._attempt = attempt
        self._every, self._stale = every_seconds, stale_seconds
        self._identity = this_process().as_json()
        self._counter = 0
        self._progress: Mapping[str, Any] = {}
        self._stopped = threading.Event()
        self._beat()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def progress(self, progress: Mapping[str, Any]) -> None:
        """Let the next beat say how far the job is."""
        self._progress = progress

    def stop(self) -> None:
        """Beat no more."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        failing_since: float | None = None
        while not self._stopped.wait(self._every):
            try:
                self._beat()
                failing_since = None
            except OSError:
                failing_since = failing_since or time.monotonic()
                # The controller takes the job for dead by now and may have started it anew.
                if time.monotonic() - failing_since > self._stale:
                    os._exit(EXIT_FENCED)
            if self._is_superseded():
                os._exit(EXIT_FENCED)

    def _beat(self) -> None:
        self._counter += 1
        beat = {**self._identity, "counter": self._counter, "progress": dict(self._progress)}
        write_json(self._attempt.heartbeat_file, beat, durable=False)

    def _is_superseded(self) -> bool:
        with suppress(OSError):
            successor = self._attempt.folder.parent / str(self._attempt.number + 1)
            return (successor / "request.json").exists()
        return False
