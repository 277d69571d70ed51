"""Attempts on their way to Slurm: gathered into arrays and packs, declared, submitted."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ablate.execution.engines.protocol import Resources, Submission
from ablate.execution.engines.slurm_board import SlurmBoard
from ablate.execution.engines.slurm_client import SlurmClient, Unreachable
from ablate.execution.engines.slurm_script import SlurmOptions, Unit, script
from ablate.store.attempts import Attempt
from ablate.store.files import read_json, surroundings, write_atomic, write_json

logger = logging.getLogger(__name__)

INTENT = "slurm.json"
"""In an attempt's folder: the name of its job, written before the job is submitted."""
SCRIPT = "slurm.sh"
"""In the folder of a job's first attempt."""
MEMORY_STEP = 1 << 28
"""Estimates are rounded up to it, so that jobs of nearly equal size share an array."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
"""Before a submission is tried again, doubling."""


@dataclass
class Batch:
    """One call of sbatch."""

    name: str
    """Of the Slurm job."""
    units: tuple[Unit, ...]
    """Tasks of an array, or one."""
    number: str = ""
    """Slurm's own, once submitted."""
    doubtful: bool = False
    """An earlier try failed in a way that leaves open whether the job was taken."""

    @property
    def is_array(self) -> bool:
        """Whether there are several tasks."""
        return len(self.units) > 1

    @property
    def submissions(self) -> list[Submission]:
        """All attempts."""
        return [submission for unit in self.units for submission in unit.submissions]


class SlurmQueue:
    """Holds attempts until they are submitted."""

    def __init__(self, client: SlurmClient, board: SlurmBoard, options: SlurmOptions) -> None:
        """Submit through ``client``; ``board`` tells whether a doubtful submission arrived."""
        self._client, self._board, self._options = client, board, options
        self._loose: dict[str, Submission] = {}
        self._batches: list[Batch] = []
        self._lends: bool | None = None
        self._pause = FIRST_PAUSE_SECONDS
        self._next = 0.0

    def __len__(self) -> int:
        """Return how many attempts wait."""
        return len(self._loose) + sum(len(batch.submissions) for batch in self._batches)

    def __contains__(self, name: object) -> bool:
        """Tell whether an attempt waits."""
        return name in self._loose or any(
            name == submission.name for batch in self._batches for submission in batch.submissions
        )

    def add(self, submission: Submission) -> None:
        """Let an attempt wait for `flush`."""
        self._loose[submission.name] = submission

    def drop(self, name: str) -> bool:
        """Forget an attempt that was never handed to Slurm; True if there was one."""
        if self._loose.pop(name, None) is not None:
            return True
        for batch in self._batches:
            if not batch.doubtful and any(item.name == name for item in batch.submissions):
                self._batches.remove(batch)
                for item in batch.submissions:
                    self._loose[item.name] = item
                return self._loose.pop(name) is not None
        return False

    def flush(self) -> Iterator[Batch]:
        """Submit what waits; yield what Slurm has taken.

        Raises SurroundingsError where it refuses for good.
        """
        if time.monotonic() < self._next or not len(self):
            return
        if self._board.is_silent:  # Trying it would only keep everybody waiting.
            return
        try:
            self._batches += self._gathered()
            while self._batches:
                self._submit(self._batches[0])
                yield self._batches.pop(0)
            self._pause = FIRST_PAUSE_SECONDS
        except Unreachable as error:
            if self._pause == FIRST_PAUSE_SECONDS:
                logger.warning("not submitted, trying again now and then: %s", error)
            self._next = time.monotonic() + self._pause
            self._pause = min(LONGEST_PAUSE_SECONDS, 2.0 * self._pause)

    def _submit(self, batch: Batch) -> None:
        if batch.doubtful:
            if not self._board.look(now=True):
                raise Unreachable("whether an earlier try arrived is not known")
            if (row := self._board.named(batch.name)) is not None:
                batch.number = str(row.number)
                return
        _declare(batch)
        folder = batch.submissions[0].folder
        text = script(batch.name, batch.units, options=self._options, folder=folder)
        with surroundings(folder):
            write_atomic(folder / SCRIPT, text.encode(), durable=False)
        try:
            batch.number = self._client.submit(folder / SCRIPT)
        except Unreachable:
            batch.doubtful = True
            raise

    def _gathered(self) -> Iterator[Batch]:
        """Yield batches of what waits, and let nothing wait any more."""
        groups: dict[object, list[Submission]] = {}
        for submission in self._loose.values():
            rounded = replace(submission, resources=_rounded(submission))
            key = (rounded.resources, rounded.priority, Attempt(rounded.folder).root)
            groups.setdefault(key, []).append(rounded)
        batches = [self._batch(group) for group in groups.values()]
        self._loose.clear()
        yield from batches

    def _batch(self, group: list[Submission]) -> Batch:
        resources = group[0].resources
        devices = resources.devices if resources.devices and self._has_devices() else 0
        size = 1 if resources.alone else self._options.pack
        if devices:
            size = self._options.slots_per_device if resources.shares and devices == 1 else 1
        units = [
            Unit(tuple(group[start : start + size]), devices)
            for start in range(0, len(group), size)
        ]
        return Batch(job_name(group[0]), tuple(units))

    def _has_devices(self) -> bool:
        if self._options.accelerators != "auto":
            return self._options.accelerators != "none"
        if self._lends is None:
            self._lends = self._client.lends_accelerators(self._options.partition)
        return self._lends


def _rounded(submission: Submission) -> Resources:
    asked = submission.resources
    steps = math.ceil(asked.memory_bytes / MEMORY_STEP)
    return replace(asked, memory_bytes=float(steps * MEMORY_STEP))


def job_name(submission: Submission) -> str:
    """Return a name that no attempt of another store of this user has."""
    root = str(Attempt(submission.folder).root)
    digest = hashlib.sha256(root.encode()).hexdigest()[:8]
    return f"ablate-{digest}-{submission.name.replace('/', '-')}"


def _declare(batch: Batch) -> None:
    """Write down under which name each attempt is about to be submitted."""
    for task, unit in enumerate(batch.units):
        for submission in unit.submissions:
            intent = {
                "job": batch.name,
                "task": task if batch.is_array else None,
                "packed": len(unit.submissions) > 1,
            }
            with surroundings(submission.folder):
                write_json(submission.folder / INTENT, intent)


def intended(submission: Submission) -> tuple[str, int | None, bool] | None:
    """Return the job's name, the task and whether it is packed; None if it was never submitted."""
    record = read_json(submission.folder / INTENT)
    if not isinstance(record, dict) or not isinstance(record.get("job"), str):
        return None
    task = record.get("task")
    return record["job"], task if isinstance(task, int) else None, bool(record.get("packed"))
