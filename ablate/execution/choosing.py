"""When to ask anew which jobs are worth starting before a deadline or within a budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from ablate.execution.options import Ahead

AGAIN_SECONDS = 20.0
"""After which the choice is made anew although no job has ended."""
LARGEST_SHARE = 0.02
"""Of the controller's time spent on choosing: a large study is looked at less often."""

Wanted = Callable[[Ahead], Collection[str] | None]


class Choice:
    """The last choice, and whether it is still good."""

    def __init__(self, wanted: Wanted | None) -> None:
        """Ask ``wanted``; None takes every job."""
        self._wanted = wanted
        self._last: Collection[str] | None = None
        self._due = 0.0
        self._earliest = 0.0

    def made(self, ahead: Callable[[], Ahead]) -> Collection[str] | None:
        """Return the jobs to start; None for all of them."""
        now = time.monotonic()
        if self._wanted is not None and now >= max(self._due, self._earliest):
            self._last = self._wanted(ahead())
            end = time.monotonic()
            self._due = end + AGAIN_SECONDS
            self._earliest = end + (end - now) / LARGEST_SHARE
        return self._last

    def forget(self) -> None:
        """Choose anew at the next chance: a job has ended."""
        self._due = 0.0
