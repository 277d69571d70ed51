"""What an engine is: it places attempts on hardware; order, retries and verdicts are ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class State(StrEnum):
    """What an engine knows about an attempt."""

    PENDING = "pending"
    """Not started yet."""
    RUNNING = "running"
    """Started, and not known to have ended."""
    GONE = "gone"
    """Ended, in whatever way."""


@dataclass(frozen=True)
class Observation:
    """An engine's word about one attempt."""

    state: State
    """Where it is."""
    code: int | None = None
    """Exit status once gone; negative for a signal, None if unknown."""
    certain: bool = False
    """The engine saw the process end itself. Without this, a missing heartbeat must agree."""
    reason: str = ""
    """The engine's own words; ``time limit`` or ``TIMEOUT`` tells that the limit ended it,
    ``OUT_OF_MEMORY`` that its memory did."""
    blameless: bool = False
    """The engine itself failed, so the job's retries are not touched."""


@dataclass(frozen=True)
class Resources:
    """What an attempt asks of the hardware; never what it computes."""

    devices: int = 0
    """Accelerators; 0 for a job of cores alone. An engine without accelerators runs it on cores.
    More than one: the job is run by torchrun, one process a device."""
    shares: bool = False
    """Whether it may share its device with others; never after it ran out of memory."""
    alone: bool = False
    """Whether it has its place to itself: a device, or on cores the whole machine where the engine
    can promise that. After it ran out of memory with nothing left to make smaller."""
    memory_bytes: float = 0.0
    """Expected peak on its device, or of the process where it runs on cores; 0 if unknown."""
    seconds: float | None = None
    """Longest duration after which it is ended; None for as long as the place allows."""


@dataclass(frozen=True)
class Submission:
    """One attempt to run; `ablate.execution.engines.commands` says how."""

    name: str
    """``<fingerprint>/<number>``: how an engine finds it again."""
    folder: Path
    """The attempt's folder; the request is written already."""
    resources: Resources = Resources()
    """What it asks for."""
    priority: int = 0
    """The higher the sooner, where an engine has a queue of its own."""


class Engine(Protocol):
    """Places attempts on hardware."""

    name: str
    """Recorded beside artifacts."""
    survives: bool
    """Whether attempts live on without the controller, so that the next one reattaches them."""

    def capacity(self, resources: Resources) -> int:
        """Return how many more attempts that ask for this should be submitted now.

        0 while nothing is free, or a queue is long enough.
        """

    def resize(self, slots: int) -> None:
        """Run at most so many attempts at a time from now on; what runs goes on."""

    def submit(self, submission: Submission) -> str:
        """Start or queue an attempt; return the handle for the other calls.

        Raises SurroundingsError where nothing can be started at all.
        """

    def poll(self, handles: Sequence[str], *, timeout_seconds: float) -> Mapping[str, Observation]:
        """Return the word about each handle, waiting at most so long for a change.

        A handle that is gone keeps its last word until the engine is closed.
        """

    def cancel(self, handle: str, *, gently: bool) -> None:
        """Ask an attempt to stop after its next checkpoint, or end it at once."""

    def reattach(self, submission: Submission) -> str | None:
        """Return the handle of an attempt that a former controller submitted and that lives on."""

    def close(self) -> None:
        """End what the engine started and cannot live without it."""
