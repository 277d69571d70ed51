"""What a user can ask of a study while it runs, and who hears it."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verb(StrEnum):
    """What is asked."""

    STATUS = "status"
    """Answer with the state; changes nothing."""
    PAUSE = "pause"
    """Start nothing new; what runs goes on."""
    RESUME = "resume"
    """Start jobs again."""
    STOP = "stop"
    """End the study after checkpoints; ``drain`` lets what runs end."""
    CANCEL = "cancel"
    """Stop jobs after a checkpoint and start them no more."""
    RETRY = "retry"
    """Try failed or cancelled jobs again."""
    PRIORITY = "priority"
    """Start jobs, and what they read from, sooner (positive) or later (negative)."""
    SET = "set"
    """Change ``slots``, ``until`` (seconds since the epoch) or ``budget_seconds``."""


@dataclass
class Command:
    """One wish, answered exactly once."""

    verb: Verb
    jobs: tuple[str, ...] = ()
    """Fingerprints it is about; empty for all to which it can apply."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """``kind`` of RETRY, ``level`` of PRIORITY, settings of SET, ``drain`` of STOP."""
    _answer: queue.SimpleQueue[Mapping[str, Any]] = field(default_factory=queue.SimpleQueue)

    def answer(self, **record: Any) -> None:
        """Say what was done; called by the controller."""
        self._answer.put(record)

    def wait(self, seconds: float) -> Mapping[str, Any] | None:
        """Return the answer, or None where the controller does not come to it in time."""
        try:
            return self._answer.get(timeout=seconds)
        except queue.Empty:
            return None


class Wishes:
    """Commands on their way to the controller; any thread may put one."""

    def __init__(self) -> None:
        """Start empty."""
        self._queue: queue.SimpleQueue[Command] = queue.SimpleQueue()

    def put(self, command: Command) -> None:
        """Hand a command over."""
        self._queue.put(command)

    def take(self) -> list[Command]:
        """Return what has come since the last call."""
        found: list[Command] = []
        while True:
            try:
                found.append(self._queue.get_nowait())
            except queue.Empty:
                return found
