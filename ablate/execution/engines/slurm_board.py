"""What Slurm last said about all our jobs, asked for at growing intervals while nothing changes."""

from __future__ import annotations

import logging
import math
import time

from ablate.execution.engines.slurm_client import Row, SlurmClient, Unreachable

logger = logging.getLogger(__name__)

GROWTH = 1.5
"""Of the interval, each time that nothing has changed."""
Key = tuple[str, int | None]
"""Name of a job, and the task of an array."""


class SlurmBoard:
    """The last answer of ``squeue``."""

    def __init__(self, client: SlurmClient, *, least_seconds: float, most_seconds: float) -> None:
        """Ask at intervals between these two."""
        self._client = client
        self._least, self._most = least_seconds, most_seconds
        self._interval = least_seconds
        self._tried = -math.inf
        self._rows: dict[Key, Row] = {}
        self._silent = False
        self.asked = -math.inf
        """When the last answered question was put, in monotonic seconds."""

    def row(self, name: str, task: int | None) -> Row | None:
        """Return the last word about a job, or about a task of an array."""
        return self._rows.get((name, task))

    def named(self, name: str) -> Row | None:
        """Return the word about any job of that name."""
        return next((row for row in self._rows.values() if row.name == name), None)

    def hurry(self) -> None:
        """Ask again as soon as is decent: something has happened."""
        self._interval = self._least

    def look(self, *, now: bool = False) -> bool:
        """Ask if it is time to; with ``now`` unless that was done a moment ago.

        True if there was an answer. Raises nothing: silence leaves everything as it was.
        """
        start = time.monotonic()
        if start - self._tried < (self._least if now else self._interval):
            return now and not self._silent and self.asked == self._tried
        self._tried = start
        try:
            rows = self._client.rows()
        except Unreachable as error:
            if not self._silent:
                logger.warning("Slurm does not answer, everything stays as it is: %s", error)
            self._silent = True
            self._interval = min(self._most, self._interval * GROWTH)
            return False
        if self._silent:
            logger.warning("Slurm answers again")
        self._silent, self.asked = False, start
        found: dict[Key, Row] = {}
        for row in sorted(rows, key=lambda row: row.number):
            found[row.name, row.task] = row
        same = found == self._rows
        self._interval = min(self._most, self._interval * GROWTH) if same else self._least
        self._rows = found
        return True
