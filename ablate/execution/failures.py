"""Why an attempt failed, in classes that decide what happens next."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from ablate.errors import AblateError, StageError, StudyError, unknown_choice
from ablate.secrets import Masker


class FailureClass(StrEnum):
    """What kind of reason ended an attempt."""

    OUT_OF_MEMORY = "out_of_memory"
    """Tried again with half the micro-batch, at last with a place of its own."""
    NON_FINITE_LOSS = "non_finite_loss"
    """The same again would give the same; the record stays."""
    DIVERGED = "diverged"
    """Beyond a bound that the study gave; the record stays."""
    BAD_DATA = "bad_data"
    """The input must change."""
    TIMEOUT = "timeout"
    """Reached its time limit; goes on from its checkpoint."""
    HUNG = "hung"
    """Alive without progress for too long; killed and tried again."""
    CANCELLED = "cancelled"
    """A user said so."""
    PREEMPTED = "preempted"
    """Asked to stop, after a checkpoint; no fault of the job."""
    WORKER_LOST = "worker_lost"
    """The process vanished without a word; tried again."""
    SURROUNDINGS = "surroundings"
    """A missing model, file or permission."""
    DISK_FULL = "disk_full"
    """Ends the study: every other job would fail on it too."""
    BUG = "bug"
    """Everything else."""


SHORT_NAMES = {
    "oom": FailureClass.OUT_OF_MEMORY,
    "memory": FailureClass.OUT_OF_MEMORY,
    "nan": FailureClass.NON_FINITE_LOSS,
    "data": FailureClass.BAD_DATA,
    "hang": FailureClass.HUNG,
    "lost": FailureClass.WORKER_LOST,
    "disk": FailureClass.DISK_FULL,
}
"""What people call some classes."""


def failure_class(name: str) -> FailureClass:
    """Return the class that a user's word means; raises StudyError for an unknown one."""
    word = name.lower().replace("-", "_")
    found = SHORT_NAMES.get(word, word)
    if found not in set(FailureClass):
        raise StudyError(unknown_choice("--class", name, [*FailureClass, *SHORT_NAMES]))
    return FailureClass(found)


@dataclass(frozen=True)
class Failure:
    """How an attempt ended badly."""

    kind: FailureClass
    """Class."""
    message: str
    """What was found, in one line."""

    def as_json(self) -> dict[str, str]:
        """Return the fields for a JSON file."""
        return {key: str(value) for key, value in asdict(self).items()}

    def signature(self) -> tuple[str, str]:
        """Return class and message without numbers and fingerprints, equal for equal causes."""
        return self.kind.value, re.sub(r"\b[0-9a-f]{8,}\b|\d+", "#", self.message)


_NO_MEMORY = re.compile(
    r"DefaultCPUAllocator.*allocate memory|CUDA error: out of memory|CUDA out of memory"
    r"|(CUBLAS|CUDNN|CUSOLVER|CUFFT)_STATUS_ALLOC_FAILED",
    re.DOTALL,
)


def failure_from(record: Any) -> Failure:
    """Read a record that `Failure.as_json` made; an unreadable one is a lost worker."""
    if isinstance(record, Mapping) and record.get("kind") in set(FailureClass):
        return Failure(FailureClass(record["kind"]), str(record.get("message", "")))
    return Failure(FailureClass.WORKER_LOST, "the exit record cannot be read")


def classify(error: BaseException, folder: Path) -> Failure:
    """Return the failure that ``error`` stands for; ``folder`` is where the job writes.

    Its message holds no secret, because it goes into the status, the trackers and the report.
    """
    masker = Masker()
    # Masked before it is cut, which could leave half a secret.
    said = ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split()))))
    message = masker.text(said)[:500]
    failure = _classify(error, folder, message=message)
    return replace(failure, message=masker.text(failure.message))


def _classify(error: BaseException, folder: Path, *, message: str) -> Failure:
    if isinstance(error, StageError):
        known = error.kind in set(FailureClass)
        return Failure(FailureClass(error.kind) if known else FailureClass.BUG, str(error))
    if isinstance(error, AblateError):
        full = isinstance(error.__cause__, OSError) and _is_disk_full(error.__cause__, folder)
        kind = FailureClass.DISK_FULL if full else FailureClass.SURROUNDINGS
        return Failure(kind, str(error))
    if "uncorrectable ECC" in message:
        # The device is broken, not the job; another one may do.
        return Failure(FailureClass.WORKER_LOST, message)
    if _is_out_of_memory(error):
        return Failure(FailureClass.OUT_OF_MEMORY, message)
    if _is_disk_full(error, folder):
        return Failure(FailureClass.DISK_FULL, f"{folder}: the disk is full ({message})")
    return Failure(FailureClass.BUG, message)


def _is_out_of_memory(error: BaseException) -> bool:
    # torch is not imported here: its error is known by name. Its CPU allocator and the libraries
    # that ask the driver for memory themselves raise plain RuntimeErrors.
    names = {cls.__name__ for cls in type(error).__mro__}
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or "OutOfMemoryError" in names
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(text)))
    )


def _is_disk_full(error: BaseException, folder: Path) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if "os error 28" in str(error) or "No space left on device" in str(error):
        return True
    if not isinstance(error, RuntimeError):
        return False
    # torch.save turns a failed write into a RuntimeError without the system's reason.
    try:
        return os.statvfs(folder).f_bavail == 0
    except OSError:
        return False
