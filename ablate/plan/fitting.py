"""What fits before a deadline or into a budget, so that all of it is complete and paired.

Runs are taken in order, seed by seed and each cell's baseline before the cell, for as long as all
jobs they need end in time. What is left out is left out whole: half a run compares with nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ablate.plan.build import Plan, Run
from ablate.plan.estimate import wall_seconds
from ablate.plan.job import Job


@dataclass(frozen=True)
class Limits:
    """What is there to spend."""

    slots: int
    """Jobs at a time."""
    seconds: float | None = None
    """Until the deadline; None without one."""
    device_seconds: float | None = None
    """Of accelerators, or of slots where there is none; None without a budget."""


@dataclass(frozen=True)
class Fit:
    """What can be completed."""

    runs: tuple[Run, ...]
    """In the order in which they are taken."""
    jobs: frozenset[str]
    """Fingerprints of all their jobs, done ones included."""
    left_out: int
    """Runs that do not fit."""
    seconds: float
    """Until the last of them ends."""
    device_seconds: float
    """That they still take."""


def paired_order(
    runs: Iterable[Run], baselines: Mapping[str, str], *, levels: Mapping[str, int] | None = None
) -> list[Run]:
    """Return runs seed by seed, each cell's baseline before the cell, else as they come.

    ``levels`` are priorities of cells: all seeds of a higher one come before those of a lower one.
    """
    given = levels or {}
    by_level: dict[int, list[Run]] = {}
    for run in runs:
        by_level.setdefault(given.get(run.cell.name, 0), []).append(run)
    every = {(run.seed, run.cell.name): run for of_level in by_level.values() for run in of_level}
    ordered: dict[tuple[int, str], Run] = {}
    for level in sorted(by_level, reverse=True):
        for run in by_level[level]:
            first = (run.seed, baselines.get(run.cell.name, run.cell.name))
            if first in every:
                ordered.setdefault(first, every[first])
            ordered.setdefault((run.seed, run.cell.name), run)
    return list(ordered.values())


def whole_order(
    plan: Plan, baselines: Mapping[str, str], *, levels: Mapping[str, int]
) -> list[Run]:
    """Return a plan's runs in the order in which a deadline takes them.

    Trials stand before what they choose, those of cells with a higher priority first.
    """
    trials = sorted(plan.trials, key=lambda run: -_level(run, levels))
    return [*trials, *paired_order(plan.runs, baselines, levels=levels)]


def job_levels(plan: Plan, levels: Mapping[str, int]) -> dict[str, int]:
    """Return the priority of each job by those of its cells; a shared job has the highest.

    The trials of a cell have the cell's.
    """
    found: dict[str, int] = {}
    for run in plan.every_run:
        level = _level(run, levels)
        for job in run.jobs.values():
            found[job.fingerprint] = max(level, found.get(job.fingerprint, level))
    return {name: level for name, level in found.items() if level}


def _level(run: Run, levels: Mapping[str, int]) -> int:
    return levels.get(run.cell.arm or run.cell.name, 0)


def fit(
    runs: Sequence[Run],
    seconds: Mapping[str, float],
    limits: Limits,
    *,
    done: Collection[str] = (),
    devices: Callable[[Job], int],
) -> Fit:
    """Return the longest beginning of ``runs`` that keeps the limits.

    ``seconds`` are those that each job still takes, ``devices`` how many accelerators it asks
    for. The deadline is held against simulated greedy scheduling, see `wall_seconds`.
    """
    fewest, most = 0, len(runs)
    best = _cost(runs[:0], seconds, limits, done=done, devices=devices)
    while fewest < most:
        middle = (fewest + most + 1) // 2
        found = _cost(runs[:middle], seconds, limits, done=done, devices=devices)
        if _keeps(found, limits):
            fewest, best = middle, found
        else:
            most = middle - 1
    left_out = len(runs) - fewest
    return Fit(tuple(runs[:fewest]), best.jobs, left_out, best.seconds, best.device_seconds)


def _cost(
    runs: Sequence[Run],
    seconds: Mapping[str, float],
    limits: Limits,
    *,
    done: Collection[str],
    devices: Callable[[Job], int],
) -> Fit:
    jobs = {job.fingerprint: job for run in runs for job in run.jobs.values()}
    wall = wall_seconds(list(jobs.values()), seconds, slots=limits.slots, done=done)
    spent = sum(seconds[key] * devices(job) for key, job in jobs.items() if key not in done)
    return Fit(tuple(runs), frozenset(jobs), 0, wall, spent)


def _keeps(found: Fit, limits: Limits) -> bool:
    in_time = limits.seconds is None or found.seconds <= limits.seconds
    in_budget = limits.device_seconds is None or found.device_seconds <= limits.device_seconds
    return in_time and in_budget
