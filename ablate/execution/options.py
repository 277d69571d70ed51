"""What a caller can ask of a run, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from ablate.execution.book import JobState
from ablate.execution.engines.local import LocalOptions
from ablate.execution.engines.protocol import Engine, Resources
from ablate.execution.failures import Failure
from ablate.execution.stages import ENTRY_POINTS, WITHOUT_DEVICE
from ablate.execution.steering import Wishes
from ablate.plan.job import Job


def default_resources(job: Job) -> Resources:
    """Return one accelerator for stages that use one."""
    return Resources(devices=int(job.stage not in WITHOUT_DEVICE))


@dataclass(frozen=True)
class Ahead:
    """What is still possible, for choosing what to start."""

    states: Mapping[str, JobState]
    """By fingerprint."""
    fractions: Mapping[str, float]
    """Of running jobs: how much is done, 0 to 1."""
    seconds: float | None
    """Until the deadline; None without one."""
    device_seconds: float | None
    """Of the budget that are left; None without one."""
    slots: int
    """Jobs at a time."""


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
    resources: Callable[[Job], Resources] = default_resources
    """What a job asks of the hardware."""
    priorities: Mapping[str, int] = field(default_factory=dict)
    """Levels of jobs by fingerprint, 0 where none is given; what a job waits for comes along. Of a
    job that the plan grows by it is looked up when it comes."""
    wishes: Wishes = field(default_factory=Wishes)
    """What a user asks while the study runs."""
    while_held: Callable[[], AbstractContextManager[object]] = nullcontext
    """Entered once nobody else can run the study, before its first job; left at its end."""
    grow: Callable[[Mapping[str, JobState]], Iterable[Job]] | None = None
    """Asked after every job that ended: jobs that results have made necessary, known ones among
    them. It must be a function of the artifacts alone, so that a later run asks the same."""
    wanted: Callable[[Ahead], Collection[str] | None] | None = None
    """Asked now and then which jobs to start within a deadline or budget; None takes all."""
    retries: int = 3
    """Further attempts of a job whose workers are lost or hang before they save a checkpoint."""
    budget_retries: int = 50
    """Further attempts of all jobs together that may be in vain: those after a lost worker or a
    hang without a new checkpoint, and the last after running out of memory."""
    keep_failed: Callable[[Job, Failure], bool] | None = None
    """Whether a failure of an earlier run stands, so that the job is not tried again."""
    fuse: int = 3
    """Cells whose jobs of a stage fail early and alike, none of the stage having succeeded, after
    which the study stops."""
    until: float | None = None
    """Seconds since the epoch after which nothing runs any more."""
    budget_seconds: float | None = None
    """Seconds of accelerator (without one: of slots) after which no job is started."""
    beat_seconds: float = 1.0
    """Between two signs of life of a worker."""
    stale_seconds: float = 60.0
    """Without a sign of life, after which an engine's uncertain word is believed."""
    hung_seconds: float = 1800.0
    """Without a sign of life, or without a step of a job that has shown some, after which its
    process is killed; more for a job whose steps take long."""
    idle_seconds: float = 43200.0
    """Without progress of a job that shows no steps to go by, after which it is killed."""
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
