"""The sign of life of a worker: a file replaced every few seconds by a thread.

A thread and not a process beside the worker: the beat must end where the worker does. Measured on
a beat every 50 ms, while the main thread computes: beside Python code, torch kernels and
``torch.save`` the longest silence is 60 ms; a C call that keeps the interpreter's lock is silent
for as long as it takes (5.0 s of regular expression, 3.2 s of sorting, 1.1 s of reading 47 MB of
JSON). That is far below the minute after which a beat counts as stale, and a stale beat alone
kills nothing: the engine must have lost the process too.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
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


SPEED_SECONDS = 30.0
"""Over which tokens per second are told."""


class Heart:
    """Writes ``heartbeat`` until stopped, and ends the process when it may no longer run."""

    def __init__(self, attempt: Attempt, *, every_seconds: float, stale_seconds: float) -> None:
        """Write the first beat: from here on the controller knows the process."""
        self._attempt = attempt
        self._every, self._stale = every_seconds, stale_seconds
        self._identity = this_process().as_json()
        self._counter = 0
        self._progress: Mapping[str, Any] = {}
        self._counts: Mapping[str, float] = {}
        self._tokens: deque[tuple[float, float]] = deque()
        self._stopped = threading.Event()
        self._beat()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def progress(self, progress: Mapping[str, Any]) -> None:
        """Let the next beat say how far the job is."""
        self._progress = progress

    def count(self, counts: Mapping[str, float]) -> None:
        """Tell tokens per second by what is counted in ``counts`` from now on."""
        self._counts = counts

    @property
    def last_progress(self) -> Mapping[str, Any]:
        """How far the job said it was."""
        return self._progress

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
        beat = {
            **self._identity,
            "counter": self._counter,
            "progress": dict(self._progress),
            **self._speed(),
            "device_bytes": device_bytes(),
        }
        write_json(self._attempt.heartbeat_file, beat, durable=False)

    def _speed(self) -> dict[str, float | None]:
        """Return the tokens so far and those of a second, where the job counts any."""
        counts = dict(self._counts)
        tokens = sum(value for name, value in counts.items() if name.endswith("_tokens"))
        now = time.monotonic()
        self._tokens.append((now, tokens))
        while now - self._tokens[0][0] > SPEED_SECONDS:
            self._tokens.popleft()
        then, before = self._tokens[0]
        speed = (tokens - before) / (now - then) if now > then and tokens else None
        return {"tokens": tokens, "tokens_per_second": speed}

    def _is_superseded(self) -> bool:
        with suppress(OSError):
            successor = self._attempt.folder.parent / str(self._attempt.number + 1)
            return (successor / "request.json").exists()
        return False


def device_bytes() -> int | None:
    """Return the most that torch has held of any device's memory; None without a used device.

    Without what the driver keeps for the process itself, some hundred megabytes.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    devices = range(torch.cuda.device_count())
    return int(max((torch.cuda.max_memory_reserved(device) for device in devices), default=0))
