"""The numbers behind ``ablate plan``: per stage, what sharing saves, time, memory and disk."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ablate.plan.build import Plan
from ablate.plan.estimate import Estimator, JobEstimate, disk_bytes, memory_bytes, wall_seconds
from ablate.plan.job import Job


@dataclass(frozen=True)
class StageRow:
    """One line of the plan table."""

    stage: str
    unique: int
    cached: int
    to_run: int
    seconds: float
    """Estimated seconds of the jobs to run, one after another."""
    basis: str
    """Where the estimates come from, the most common first."""
    memory_bytes: float
    """Peak of the stage's largest job on a CPU, cached ones included."""


@dataclass(frozen=True)
class PlanSummary:
    """What will run and what it will cost."""

    study: str
    cells: int
    runs: int
    seeds: int
    stages: tuple[StageRow, ...]
    trials: int
    """Runs that only choose values, on every rung and seed; 0 for a study that tunes nothing."""
    one_at_a_time_jobs: int
    """Jobs if every run trained its own stages."""
    one_at_a_time_seconds: float
    unique_seconds: float
    """Seconds of the unique jobs, cached ones included."""
    wall_seconds: float
    """Makespan of the jobs to run on the given slots."""
    slots: int
    memory_bytes: float
    """Rough peak of all slots together."""
    disk_bytes: float
    """Rough size of the artifacts to come."""
    order: tuple[str, ...]
    """Jobs to run in starting order, ``stage-fingerprint``."""


def summarize(
    plan: Plan, estimator: Estimator, *, cached: Collection[str], slots: int
) -> PlanSummary:
    """Return the summary of ``plan`` when the jobs in ``cached`` have their artifacts."""
    estimates = {job.fingerprint: estimator.job(job) for job in plan.jobs}
    seconds = {key: estimate.seconds for key, estimate in estimates.items()}
    to_run = [job for job in plan.jobs if job.fingerprint not in cached]
    uses = [job.fingerprint for run in plan.every_run for job in run.jobs.values()]
    alike = _alike(to_run)
    peaks = heapq.nlargest(
        slots, (memory_bytes(job) for job, n in alike for _ in range(min(n, slots)))
    )
    return PlanSummary(
        study=plan.study,
        cells=len(plan.cells),
        runs=len(plan.runs),
        seeds=len({run.seed for run in plan.runs}),
        trials=len(plan.trials),
        stages=_stage_rows(plan, estimates, cached),
        one_at_a_time_jobs=len(uses),
        one_at_a_time_seconds=sum(seconds[key] for key in uses),
        unique_seconds=sum(seconds.values()),
        wall_seconds=wall_seconds(plan.jobs, seconds, slots=slots, done=cached),
        slots=slots,
        memory_bytes=sum(peaks),
        disk_bytes=sum(n * disk_bytes(job) for job, n in alike),
        order=tuple(f"{job.stage}-{job.fingerprint}" for job in to_run),
    )


def _alike(jobs: Iterable[Job]) -> list[tuple[Job, int]]:
    """Return one job of each kind that takes the same memory and disk, and how many there are."""
    found: dict[tuple[object, ...], list[Job]] = defaultdict(list)
    for job in jobs:
        found[job.stage, type(job.config), id(job.model), _memory_key(job)].append(job)
    return [(same[0], len(same)) for same in found.values()]


def _memory_key(job: Job) -> tuple[object, ...]:
    """Return what a job's memory depends on beside its class and model."""
    config = job.config
    names = (
        *("lora", "optimizer", "batch_size", "micro_batch_size", "max_length", "layers"),
        *("activation_checkpointing", "value_init", "rollouts_per_step", "max_new_tokens"),
    )
    roles = tuple(role for role, _ in job.inputs)
    return (*(getattr(config, name, None) for name in names), *roles)


def _stage_rows(
    plan: Plan, estimates: dict[str, JobEstimate], cached: Collection[str]
) -> tuple[StageRow, ...]:
    by_stage: dict[str, list[str]] = defaultdict(list)
    for job in plan.jobs:
        by_stage[job.stage].append(job.fingerprint)
    rows = []
    peaks: dict[str, float] = defaultdict(float)
    for job, _ in _alike(plan.jobs):
        peaks[job.stage] = max(peaks[job.stage], memory_bytes(job))
    for stage, keys in by_stage.items():
        fresh = [key for key in keys if key not in cached]
        bases = Counter(estimates[key].basis for key in fresh)
        rows.append(
            StageRow(
                stage=stage,
                unique=len(keys),
                cached=len(keys) - len(fresh),
                to_run=len(fresh),
                seconds=sum(estimates[key].seconds for key in fresh),
                basis=", ".join(name for name, _ in bases.most_common()) or "cached",
                memory_bytes=peaks[stage],
            )
        )
    return tuple(rows)
