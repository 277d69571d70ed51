"""What a study's events have said so far, for destinations that write a run whole."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from ablate.tracking.events import JobCommitted, Recorded, RunStarted, from_line, to_line


@dataclass(frozen=True)
class UsedJob:
    """A committed job of a run."""

    stage: str
    fingerprint: str
    artifact: str
    """Folder, relative to the store."""


class History:
    """Runs as they were announced first, and their committed jobs."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._started: dict[str, bytes] = {}  # Compressed: a study may have thousands of runs.
        self._jobs: dict[str, dict[str, UsedJob]] = {}

    def add(self, recorded: Recorded) -> None:
        """Learn of one event; twice is as good as once."""
        match recorded.event:
            case RunStarted() as event:
                line = to_line(recorded).encode()
                self._started.setdefault(event.run, zlib.compress(line, 1))
            case JobCommitted() as event:
                job = UsedJob(event.stage, event.fingerprint, event.artifact)
                for run in event.used_by:
                    self._jobs.setdefault(run, {})[event.fingerprint] = job

    def started(self, run: str) -> tuple[int, RunStarted] | None:
        """Return when a run was announced, in milliseconds since the epoch, and how."""
        if run not in self._started:
            return None
        found = from_line(zlib.decompress(self._started[run]).decode())
        if found is None or not isinstance(found.event, RunStarted):
            return None
        return found.time_ms, found.event

    def jobs(self, run: str) -> list[UsedJob]:
        """Return the committed jobs of a run, in the order of their commits."""
        return list(self._jobs.get(run, {}).values())
