"""One attempt that is with the engine: is it alive, and how did it end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.execution.beat import EXIT_DISK_FULL, EXIT_FENCED
from ablate.execution.engines.protocol import Observation, Resources, State
from ablate.execution.failures import Failure, FailureClass, failure_from
from ablate.execution.stalling import LONGEST_GAP_SECONDS, Stall
from ablate.plan.job import Job
from ablate.spec.config import Config
from ablate.store.attempts import Attempt
from ablate.store.locks import Lock

_TIME_LIMIT = re.compile(r"time.?limit|TIMEOUT", re.IGNORECASE)
_MEMORY_LIMIT = re.compile(r"OUT_OF_MEMORY")
GIVE_LONGER = "Give it longer (`hours` of the place), or let it checkpoint more often"
"""What helps a job whose time limit ends it before it saves a checkpoint."""
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
    """Monotonic seconds when it was handed to the engine, or last seen to wait there."""
    devices: int = 0
    """Accelerators it asked for."""
    resources: Resources = Resources()
    """All that it asked for."""
    memory_kills: int | None = None
    """The kernel's count of out-of-memory kills when the attempt started."""
    pulse: Pulse = field(default_factory=Pulse)
    progress: Mapping[str, Any] = field(default_factory=dict)
    speed: float | None = None
    """Tokens per second over the last half minute; None where the job counts none."""
    device_bytes: float | None = None
    """Peak of the memory it holds of a device; None where it uses none."""
    stall: Stall = field(default_factory=Stall)
    began: float | None = None
    """Monotonic seconds of its first beat; None before, for a queue is no time of the job's."""
    blamed: Failure | None = None
    """Why the controller ends it; the worker's own words do not matter then."""
    blamed_since: float = 0.0
    """Monotonic seconds."""
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
        self.speed, self.device_bytes = beat.get("tokens_per_second"), beat.get("device_bytes")
        if self.pulse.counter:
            signs = beat.get("tokens"), _size(self.attempt.log)
            done, total = int(progress.get("done", 0)), int(progress.get("total", 0))
            self.stall.look(done, total, signs, now=now)
        if self.ended is None and self.attempt.exit_file.exists():
            self.ended = now
        return changed

    @property
    def fraction(self) -> float:
        """How much of the job is done, as it says itself."""
        total = self.progress.get("total")
        return min(1.0, self.progress.get("done", 0) / total) if total else 0.0

    def seconds(self, now: float) -> float:
        """Return how long it has run."""
        return 0.0 if self.began is None else now - self.began

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
    if _TIME_LIMIT.search(observation.reason):
        return Failure(FailureClass.TIMEOUT, f"{observation.reason}. {GIVE_LONGER}")
    if _MEMORY_LIMIT.search(observation.reason):
        return Failure(FailureClass.OUT_OF_MEMORY, observation.reason)
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
    why = f" ({observation.reason})" if observation.reason else ""
    return Failure(FailureClass.WORKER_LOST, f"the worker {how} without an exit record{why}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
