"""What a caller can ask of a run, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ablate.execution.book import JobState
from ablate.execution.engine import Engine
from ablate.execution.failures import Failure
from ablate.execution.local import LocalOptions
from ablate.execution.stages import ENTRY_POINTS
from ablate.plan.job import Job


@dataclass(frozen=True)
class RunOptions:
    """Where, how long and how stubbornly a study runs; never what it computes."""

    engine: Engine | None = None
    """Places the jobs; None takes the local engine. The caller closes its own."""
    local: LocalOptions = field(default_factory=LocalOptions)
    """The local engine's options."""
    entry_points: Mapping[str, str] = field(default_factory=lambda: ENTRY_POINTS)
    """``module:function`` of every stage."""
    study_text: str | None = None
    """The study file, kept beside the status."""
    retries: int = 3
    """Further attempts of a job whose workers are lost before they save a checkpoint."""
    fuse: int = 3
    """Equal failures of a stage none of whose jobs succeeded, after which the study stops."""
    until: float | None = None
    """Seconds since the epoch after which nothing runs any more."""
    budget_seconds: float | None = None
    """Seconds of accelerator (without one: of slots) after which no job is started."""
    estimate: Callable[[Job], float | None] | None = None
    """Expected seconds of a job, so that none is started which cannot end in time."""
    beat_seconds: float = 1.0
    """Between two signs of life of a worker."""
    stale_seconds: float = 60.0
    """Without a sign of life, after which an engine's uncertain word is believed."""
    hung_seconds: float = 1800.0
    """Without a sign of life of a process that exists, after which it is killed."""
    stop_seconds: float = 60.0
    """For a checkpoint, when a study is told to stop."""
    handle_signals: bool = True
    """SIGINT once drains, twice stops after checkpoints, three times at once; SIGTERM stops."""


@dataclass(frozen=True)
class Outcome:
    """How a run of a study ended."""

    states: Mapping[str, JobState]
    """Every job's state, by fingerprint."""
    failures: Mapping[str, Failure]
    """Why each failed job failed."""
    skipped: Mapping[str, str]
    """Why each skipped job was skipped."""
    stopped: str | None
    """Why jobs were left waiting; None if nothing stopped the study."""
    seconds: float
    """Duration, without a suspended machine's sleep."""

    @property
    def complete(self) -> bool:
        """Whether every job has its artifact."""
        return all(state in (JobState.DONE, JobState.CACHED) for state in self.states.values())

    def count(self, state: JobState) -> int:
        """Return how many jobs are in ``state``."""
        return sum(found is state for found in self.states.values())
