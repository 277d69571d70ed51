"""One attempt that is with the engine: is it alive, and how did it end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ablate.execution.beat import EXIT_DISK_FULL, EXIT_FENCED
from ablate.execution.engines.protocol import Observation, State
from ablate.execution.failures import Failure, FailureClass, failure_from
from ablate.plan.job import Job
from ablate.spec.config import Config
from ablate.store.attempts import Attempt
from ablate.store.locks import Lock

LONGEST_GAP_SECONDS = 5.0
"""More than this between two looks is the controller's own absence, not the worker's silence."""
LINGER_SECONDS = 30.0
"""For an interpreter to shut down after the exit record is written."""


@dataclass
class Pulse:
    """How long a heartbeat has not changed, on a clock that stops while the machine sleeps.

    Only time during which the controller itself was looking counts: after a suspend, a frozen
    container or a Ctrl-Z, workers get as long as ever to beat again.
    """

    counter: int = 0
    silent_seconds: float = 0.0
    _last: float | None = None

    def look(self, counter: int, now: float) -> None:
        """Take note of the counter at monotonic time ``now``."""
        gap = 0.0 if self._last is None else min(now - self._last, LONGEST_GAP_SECONDS)
        self._last = now
        if counter != self.counter:
            self.counter, self.silent_seconds = counter, 0.0
        else:
            self.silent_seconds += gap


@dataclass
class Running:
    """An attempt with the engine."""

    job: Job
    config: Config
    """As the attempt got it: the micro-batch may be smaller than the job's."""
    attempt: Attempt
    handle: str
    claim: Lock
    started: float
    """Monotonic seconds."""
    devices: int = 0
    """Accelerators it asked for."""
    memory_kills: int | None = None
    """The kernel's count of out-of-memory kills when the attempt started."""
    pulse: Pulse = field(default_factory=Pulse)
    progress: Mapping[str, Any] = field(default_factory=dict)
    is_stopping: bool = False
    is_hung: bool = False
    ended: float | None = None
    """Monotonic seconds when the exit record was first seen while the process still ran."""

    def look(self, now: float) -> bool:
        """Read the heartbeat; True if the job said something new about its progress."""
        beat = self.attempt.heartbeat()
        self.pulse.look(int(beat.get("counter", 0)), now)
        progress = beat.get("progress") or {}
        changed = progress != self.progress
        self.progress = progress
        if self.ended is None and self.attempt.exit_file.exists():
            self.ended = now
        return changed

    @property
    def fraction(self) -> float:
        """How much of the job is done, as it says itself."""
        total = self.progress.get("total")
        return min(1.0, self.progress.get("done", 0) / total) if total else 0.0

    def lingers(self, now: float) -> bool:
        """Tell whether the process still exists long after its last act."""
        return self.ended is not None and now - self.ended > LINGER_SECONDS


def is_dead(observation: Observation, pulse: Pulse, *, stale_seconds: float) -> bool:
    """Apply the two-signal rule: gone, and the engine saw it or the heartbeat agrees."""
    if observation.state is not State.GONE:
        return False
    return observation.certain or pulse.silent_seconds >= stale_seconds


def verdict(attempt: Attempt, observation: Observation, *, memory_kills: int) -> Failure | None:
    """Return why a dead attempt failed; None if it says that it succeeded.

    ``memory_kills`` is how many processes the kernel has killed for memory since it started.
    """
    record = attempt.exit()
    if record is not None and record.get("attempt") == attempt.number:
        return None if record.get("status") == "ok" else failure_from(record.get("failure"))
    code = observation.code
    if observation.blameless:
        return Failure(FailureClass.PREEMPTED, observation.reason)
    if code == EXIT_DISK_FULL:
        return Failure(FailureClass.DISK_FULL, f"{attempt.folder}: the disk is full")
    if code == -9 and memory_kills > 0:
        return Failure(FailureClass.OUT_OF_MEMORY, "killed by the kernel, which ran out of memory")
    if code == EXIT_FENCED:
        return Failure(FailureClass.WORKER_LOST, "the worker could not write its heartbeat")
    how = "vanished" if code is None else f"ended with status {code}"
    if code is not None and code < 0:
        how = f"was killed by signal {-code}"
    return Failure(FailureClass.WORKER_LOST, f"the worker {how} without an exit record")
