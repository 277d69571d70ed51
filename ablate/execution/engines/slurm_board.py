"""What Slurm last said about all our jobs, asked for at growing intervals while nothing changes."""

from __future__ import annotations

import logging
import math
import time

from ablate.execution.engines.slurm_client import Question, Row, SlurmClient, Unreachable

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
        self._question: Question | None = None
        self.is_silent = False
        """Whether the last question got no answer."""
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

    @property
    def is_asking(self) -> bool:
        """Whether an answer may come any moment."""
        return self._question is not None

    def look(self, *, now: bool = False) -> bool:
        """Ask if it is time to, and take in an answer that has come; never waits.

        With ``now`` it asks unless that was done a moment ago, and waits for the answer. True if
        that is known now which was true at the last question. Raises nothing: silence leaves
        everything as it was.
        """
        start = time.monotonic()
        due = start - self._tried >= (self._least if now else self._interval)
        try:
            if self._question is None and due:
                self._tried = start
                self._question = self._client.ask()
            if self._question is not None and (now or self._question.is_over()):
                question, self._question = self._question, None
                self._take(self._client.rows(question))
        except Unreachable as error:
            if not self.is_silent:
                logger.warning("Slurm does not answer, everything stays as it is: %s", error)
            self.is_silent = True
            self._interval = min(self._most, self._interval * GROWTH)
        return not self.is_silent and self.asked == self._tried

    def close(self) -> None:
        """Wait for no answer any more."""
        if self._question is not None:
            self._question.drop()
            self._question = None

    def _take(self, rows: list[Row]) -> None:
        if self.is_silent:
            logger.warning("Slurm answers again")
        self.is_silent, self.asked = False, self._tried
        found: dict[Key, Row] = {}
        for row in sorted(rows, key=lambda row: row.number):
            found[row.name, row.task] = row
        same = found == self._rows
        self._interval = min(self._most, self._interval * GROWTH) if same else self._least
        self._rows = found
