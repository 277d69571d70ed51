"""What a plan will cost: seconds by stage from measured jobs, wall time by simulated scheduling."""

from __future__ import annotations

import heapq
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ablate.plan.job import Job
from ablate.plan.memory import shape_of_job, stage_memory
from ablate.plan.size import job_size
from ablate.spec.policies import PolicyConfig
from ablate.spec.stages import (
    EmbeddedModelConfig,
    ImportedModelConfig,
    RewardModelConfig,
)

BUILT_IN_SECONDS_PER_UNIT = {
    "model": 1.3e-3,
    "sft": 1.2e-3,
    "preferences": 2e-4,
    "demonstrations": 2e-4,
    "prompts": 2e-4,
    "tokens": 2e-4,
    "contamination": 2e-4,
    "labels": 6e-4,
    "reference": 1e-3,
    "reward_model": 1.2e-3,
    "samples": 6e-4,
    "offline": 1.1e-3,
    "online": 2.6e-3,
    "evaluation": 1e-2,
    "imported": 1e-3,
    "reward_evaluation": 3e-3,
}
"""Seconds per unit of `job_size` for the embedded model on one core of a 2-core AVX2 machine."""

WITHOUT_WEIGHTS = frozenset(
    {"preferences", "demonstrations", "prompts", "tokens", "contamination", "imported"}
)
"""Stages that never load a model's weights."""

MOST_SIMULATED = 20_000
"""Jobs whose schedule is simulated; more would take seconds."""

EMBEDDED_PARAMETERS = 171_840
"""Parameters of the model that the built-in rates were measured on."""


@dataclass(frozen=True)
class Measured:
    """One finished job that an estimate may learn from."""

    stage: str
    kind: str
    """Algorithm or configuration class, see `job_kind`."""
    size: float
    seconds: float
    model: str = ""
    """Fingerprint of the base model the job worked on."""
    bytes: int = 0


@dataclass(frozen=True)
class JobEstimate:
    """Predicted seconds of one job, and where the number comes from."""

    seconds: float
    basis: str
    """``measured, n jobs`` (same stage, algorithm and model), ``scaled from n jobs`` (another
    model), or ``built-in rate``."""


def job_kind(job: Job) -> str:
    """Return what tells costs apart within a stage: algorithm or class, reward-model depth."""
    config = job.config
    name: str = config.kind if isinstance(config, EmbeddedModelConfig | ImportedModelConfig) else ""
    if isinstance(config, PolicyConfig):
        name = str(config.__dict__["algorithm"])
    for upstream in (job, *(upstream for role, upstream in job.inputs if role == "reward_model")):
        if isinstance(upstream.config, RewardModelConfig):
            return f"{name or job.stage}, {upstream.config.layers} layers"
    return name or job.stage


def model_of(job: Job) -> str:
    """Return the fingerprint of the base model behind a job, or an empty string without one."""
    return job.model.fingerprint if job.model else ""


class Estimator:
    """Predicts seconds of jobs from measured ones; rates are medians per unit of work."""

    def __init__(self, history: Iterable[Measured]) -> None:
        """Group the history by what makes costs alike."""
        self._same: dict[tuple[str, ...], list[float]] = defaultdict(list)
        self._alike: dict[tuple[str, ...], list[float]] = defaultdict(list)
        self._known: dict[tuple[str, str, str, float], JobEstimate] = {}
        for item in history:
            self.learn(item)

    def learn(self, item: Measured) -> None:
        """Let a further finished job count in the estimates to come."""
        rate = item.seconds / max(item.size, 1.0)
        self._same[item.stage, item.kind, item.model].append(rate)
        self._alike[item.stage, item.kind].append(rate)
        self._known.clear()

    def job(self, job: Job) -> JobEstimate:
        """Return the estimate of one job."""
        size, kind = job_size(job), job_kind(job)
        key = (job.stage, kind, model_of(job), size)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._estimate(job, kind, size)
        return found

    def _estimate(self, job: Job, kind: str, size: float) -> JobEstimate:
        same = self._same.get((job.stage, kind, model_of(job)))
        if same:
            return JobEstimate(size * statistics.median(same), f"measured, {_jobs(len(same))}")
        alike = self._alike.get((job.stage, kind))
        if alike:
            seconds = size * statistics.median(alike)
            return JobEstimate(seconds, f"scaled from {_jobs(len(alike))}")
        rates = BUILT_IN_SECONDS_PER_UNIT
        family = job.config.family if isinstance(job.config, PolicyConfig) else job.stage
        rate = rates[family]
        return JobEstimate(size * rate * _relative_cost(job), "built-in rate")


def _jobs(n: int) -> str:
    return f"{n} job" if n == 1 else f"{n} jobs"


def _relative_cost(job: Job) -> float:
    """Return how much dearer the job's base model is than the one of the built-in rates."""
    if job.stage in WITHOUT_WEIGHTS:
        return 1.0
    return max(1.0, parameters_of(job) / EMBEDDED_PARAMETERS)


def parameters_of(job: Job) -> float:
    """Return the number of parameters of the base model behind a job, 0 without one.

    A model whose sizes nobody states counts as `ablate.plan.memory.UNKNOWN`.
    """
    shape = shape_of_job(job.model) if job.model is not None else None
    return 0.0 if shape is None else float(shape.parameters)


def memory_bytes(job: Job) -> float:
    """Return the peak of one worker on a CPU; see `ablate.plan.memory`."""
    return stage_memory(job).total


def disk_bytes(job: Job) -> float:
    """Return a rough size of what the job leaves: fp32 weights, or records."""
    if job.stage in ("model", "sft", "reward_model", "policy"):
        return 4 * parameters_of(job) + 2e5
    return 5e5


def wall_seconds(
    jobs: Sequence[Job], seconds: Mapping[str, float], *, slots: int, done: Collection[str] = ()
) -> float:
    """Return the makespan of ``jobs`` on ``slots`` by greedy scheduling in the given order.

    From `MOST_SIMULATED` jobs on, the work divided by the slots, which is short by at most one
    chain of jobs (Graham 1966).
    """
    if len(jobs) > MOST_SIMULATED:
        work = sum(seconds[job.fingerprint] for job in jobs if job.fingerprint not in done)
        return work / slots
    place = {job.fingerprint: n for n, job in enumerate(jobs) if job.fingerprint not in done}
    waits: dict[str, int] = {}
    followers: dict[str, list[str]] = defaultdict(list)
    for job in jobs:
        if job.fingerprint in place:
            needed = {up.fingerprint for _, up in job.inputs if up.fingerprint in place}
            waits[job.fingerprint] = len(needed)
            for upstream in needed:
                followers[upstream].append(job.fingerprint)
    ready = [(place[key], key) for key, count in waits.items() if count == 0]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < slots:
            _, key = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[key], key))
        now, ended = heapq.heappop(running)
        for key in followers[ended]:
            waits[key] -= 1
            if waits[key] == 0:
                heapq.heappush(ready, (place[key], key))
    return now
