"""Which jobs are too large for the place they would run in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ablate.plan.job import Job
from ablate.plan.memory import Device, stage_memory


@dataclass(frozen=True)
class TooLarge:
    """Jobs of one stage that cannot fit."""

    stage: str
    fingerprint: str
    """Of the largest."""
    jobs: int
    memory_bytes: float
    """Its expected peak on each device."""


def peak_bytes(job: Job, *, device: Device, devices: int = 1) -> float:
    """Return the expected peak on each of ``devices``; sharding spreads all but the runtime."""
    parts = stage_memory(job, device=device)
    return parts.runtime + (parts.total - parts.runtime) / max(1, devices)


def too_large(
    jobs: Iterable[Job], room: Callable[[Job], float | None], peak: Callable[[Job], float]
) -> Iterator[TooLarge]:
    """Yield, by stage, jobs whose ``peak`` exceeds the ``room`` of the place; None is unknown."""
    found: dict[str, list[tuple[float, Job]]] = {}
    for job in jobs:
        limit = room(job)
        if limit is not None and (needed := peak(job)) > limit:
            found.setdefault(job.stage, []).append((needed, job))
    for stage, rows in found.items():
        needed, largest = max(rows, key=lambda row: row[0])
        yield TooLarge(stage, largest.fingerprint, len(rows), needed)
