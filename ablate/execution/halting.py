"""Whether and why a study should stop: signals, deadline, budget, or a reason found on the way."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from enum import IntEnum
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)


class Halt(IntEnum):
    """How much is stopped; a study only goes up."""

    NONE = 0
    """Everything goes on."""
    DRAIN = 1
    """Nothing new is started; what runs may end."""
    STOP = 2
    """What runs stops after its next checkpoint."""
    KILL = 3
    """What runs is killed."""


STATE_NAMES = {
    Halt.NONE: "running",
    Halt.DRAIN: "draining",
    Halt.STOP: "stopping",
    Halt.KILL: "stopping",
}
"""As written to the status file."""


class Brake:
    """Holds how far a study is stopped, and the first reason for it."""

    def __init__(self) -> None:
        """Let everything go on."""
        self.level = Halt.NONE
        self.reason = ""
        self._former: list[tuple[int, Any]] = []

    def pull(self, level: Halt, reason: str) -> bool:
        """Stop at least this much; True if that is more than before."""
        if level <= self.level:
            return False
        self.level, self.reason = level, self.reason or reason
        return True

    def install(self) -> None:
        """Obey SIGINT (each one a level more), SIGTERM and SIGHUP, if this is the main thread."""
        if threading.current_thread() is threading.main_thread():
            self._take(signal.SIGINT, self._interrupt)
            self._take(signal.SIGTERM, self._terminate)
            if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
                # The terminal is gone; under nohup the study goes on.
                self._take(signal.SIGHUP, self._hang_up)

    def uninstall(self) -> None:
        """Give the signals back."""
        while self._former:
            number, handler = self._former.pop()
            signal.signal(number, handler)

    def _take(self, number: int, handler: Callable[[int, FrameType | None], None]) -> None:
        self._former.append((number, signal.signal(number, handler)))

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.pull(Halt(min(self.level + 1, Halt.KILL)), "interrupted")

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self.pull(Halt.STOP, "its terminal was closed; next time give --detach")

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self.pull(Halt.STOP, "terminated")
