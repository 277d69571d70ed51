"""Whether the disk of a store has room for what is to be written, asked before it is full."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import SurroundingsError
from ablate.plan.estimate import disk_bytes, parameters_of
from ablate.plan.job import Job
from ablate.spec.stages import ImportedModelConfig
from ablate.store.usage import disk_usage

RESERVE_VARIABLE = "ABLATE_DISK_RESERVE"
"""Environment variable: bytes of the disk that a study leaves free, such as ``5GB`` or ``0``."""
RESERVE_BYTES = 1e9
RESERVE_FRACTION = 0.02
"""The reserve is `RESERVE_BYTES`, or this share of a disk on which that is less."""
AGAIN_SECONDS = 2.0
"""Between two looks at what running jobs have written."""
TRAINED = ("sft", "reward_model", "policy")
"""Stages that save checkpoints on the way."""
CHECKPOINT_BYTES_PER_PARAMETER = 12.0
"""Weights and both moments of Adam in fp32; an adapter's checkpoint is smaller."""
_UNITS = {"": 1.0, "B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


@dataclass(frozen=True)
class Space:
    """A disk as the user of the store sees it, in bytes."""

    total: int
    free: int
    """What this user may still write; less than what is unused."""


def space(path: Path) -> Space:
    """Return the disk that ``path`` is on, or will be on once it is made."""
    while not path.exists() and path != path.parent:
        path = path.parent
    usage = shutil.disk_usage(path)
    return Space(usage.total, usage.free)


def reserve(disk: Space) -> float:
    """Return the bytes that a study leaves free.

    Raises SurroundingsError where the environment names no size.
    """
    given = os.environ.get(RESERVE_VARIABLE)
    if given is None:
        return min(RESERVE_BYTES, RESERVE_FRACTION * disk.total)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?B?)\s*", given.upper())
    if match is None or match[2] not in _UNITS:
        raise SurroundingsError(
            f"{RESERVE_VARIABLE}: {given!r} is no size; write one such as 5GB, or 0 for none."
        )
    return float(match[1]) * _UNITS[match[2]]


def forecast_bytes(job: Job) -> float:
    """Return a rough size of all that a job has on disk at its worst: artifact and checkpoints.

    A checkpoint is there twice while it is replaced. A model whose size nobody states counts
    nothing, since a guess would stop studies that have room.
    """
    base = job.model.config if job.model is not None else None
    if isinstance(base, ImportedModelConfig) and base.shape is None:
        return 0.0
    parameters = parameters_of(job) if job.stage in TRAINED else 0.0
    return disk_bytes(job) + 2 * CHECKPOINT_BYTES_PER_PARAMETER * parameters


class DiskGuard:
    """Tells when a study must stop starting jobs so that those that run can end."""

    def __init__(
        self,
        root: Path,
        *,
        look: Callable[[Path], Space] = space,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch the disk of the store at ``root``."""
        self._root, self._look, self._clock = root, look, clock
        self._due = float("-inf")
        self._last = ""

    def reason(self, running: Iterable[tuple[Job, Path]], following: Job | None = None) -> str:
        """Return why nothing more should start, or an empty string.

        ``running`` are jobs with their attempts' folders: what is there already needs no room.
        With ``following`` it is asked whether that job may start as well; without it the answer
        may be `AGAIN_SECONDS` old.
        """
        now = self._clock()
        if following is None and now < self._due:
            return self._last
        to_come = sum(max(0.0, forecast_bytes(job) - disk_usage(at)) for job, at in running)
        to_come += forecast_bytes(following) if following is not None else 0.0
        disk = self._look(self._root)
        kept = reserve(disk)
        self._due = now + AGAIN_SECONDS
        self._last = ""
        if disk.free < to_come + kept:
            self._last = (
                f"the disk would be full: {disk.free / 1e9:.1f} GB are free, about "
                f"{to_come / 1e9:.1f} GB are still to be written by running jobs and the next, and "
                f"{kept / 1e9:.1f} GB stay in reserve ({RESERVE_VARIABLE}). See `ablate gc`"
            )
        return self._last


def shortage(root: Path, jobs: Iterable[Job], *, slots: int) -> str:
    """Return a warning where the jobs of a plan will not fit on the disk, or an empty string.

    All artifacts, and the checkpoints of as many of the largest jobs as run at a time.
    """
    jobs = list(jobs)
    known = [job for job in jobs if forecast_bytes(job) > 0.0]
    scratch = sorted((forecast_bytes(job) - disk_bytes(job) for job in known), reverse=True)
    needed = sum(map(disk_bytes, known)) + sum(scratch[:slots])
    disk = space(root)
    kept = reserve(disk)
    if needed + kept <= disk.free:
        return ""
    return (
        f"about {needed / 1e9:.1f} GB are to come and {kept / 1e9:.1f} GB stay in reserve, but "
        f"{disk.free / 1e9:.1f} GB are free: the study will stop before the disk is full. "
        "See `ablate gc`."
    )
