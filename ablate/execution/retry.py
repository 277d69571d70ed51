"""What follows a failure: another attempt or none, with which micro-batch and beside whom; pure.

Each class has its own rule:

* out of memory: half the micro-batch, never beside other jobs; at micro-batch 1, or where a stage
  has none, once more with a device (on cores: the machine) of its own; then the job has failed.
* worker lost and hang: again from the last checkpoint, at most ``retries`` times in a row without
  a new one.
* time limit: again from the last checkpoint, as long as each attempt saves one.
* preempted: again, as often as it takes, once it has begun; not for ever where it never does.
* everything else would happen again and is not tried again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ablate.execution.engines.protocol import Resources
from ablate.execution.failures import Failure, FailureClass
from ablate.spec.config import Config

FRESH_AFTER = frozenset({FailureClass.BUG, FailureClass.BAD_DATA})
"""Failures whose checkpoint the next attempt does not trust."""

LASTING = frozenset(
    {
        FailureClass.BUG,
        FailureClass.BAD_DATA,
        FailureClass.NON_FINITE_LOSS,
        FailureClass.DIVERGED,
        FailureClass.SURROUNDINGS,
    }
)
"""Failures that the same attempt would meet again."""

UNLUCKY = frozenset({FailureClass.WORKER_LOST, FailureClass.HUNG})
"""Failures that the next attempt may escape."""

MOST_UNBORN = 20
"""Attempts in a row that may be taken away before a sign of life: a place that starts none would
be asked all night."""


@dataclass(frozen=True)
class Ending:
    """A failed attempt, as far as it matters for another one."""

    failure: Failure
    """How it ended."""
    config: Config
    """Its configuration, with the micro-batch it took."""
    exclusive: bool = False
    """Whether it had its device, or on cores the machine, to itself."""
    further: bool = False
    """Whether it saved a checkpoint of its own."""
    fruitless: int = 1
    """Unlucky attempts in a row without a checkpoint, this one included."""
    unborn: int = 0
    """Attempts in a row that were taken away before a sign of life, this one included."""


@dataclass(frozen=True)
class Decision:
    """Whether a job gets another attempt, in words for whoever asks in the morning."""

    retried: bool
    next: str
    """What was tried next, or why nothing was."""
    costs: bool = False
    """Whether it takes from the study's budget of further attempts: it may be in vain."""


def decide(ending: Ending, *, retries: int) -> Decision:
    """Return what follows a failed attempt; ``retries`` bounds what may be in vain."""
    kind, start = ending.failure.kind, "again from its last checkpoint"
    if kind is FailureClass.OUT_OF_MEMORY:
        return _after_out_of_memory(ending)
    if kind in UNLUCKY:
        if ending.further:
            return Decision(True, start)
        if ending.fruitless <= retries:
            return Decision(True, f"tried again ({ending.fruitless} of {retries})", costs=True)
        return Decision(False, f"given up after {retries} further attempts without a checkpoint")
    if kind is FailureClass.TIMEOUT:
        if ending.further:
            return Decision(True, start)
        return Decision(False, "given up: the same time would not be enough again")
    if kind is FailureClass.PREEMPTED and ending.unborn >= MOST_UNBORN:
        return Decision(False, f"given up: taken away {ending.unborn} times before it began")
    if kind is FailureClass.PREEMPTED:
        return Decision(True, start if ending.further else "started again")
    return Decision(False, _REASONS.get(kind, "given up: the same would happen again"))


_REASONS = {
    FailureClass.NON_FINITE_LOSS: "stopped for good: the same seed would get there again",
    FailureClass.DIVERGED: "stopped for good: the same seed would get there again",
    FailureClass.CANCELLED: "stays as it is until `ablate retry` or the next `ablate run`",
    FailureClass.DISK_FULL: "stopped the study: every job would meet it",
    FailureClass.SURROUNDINGS: "given up until something around it changes",
}


def _after_out_of_memory(ending: Ending) -> Decision:
    size = micro_batch(ending.config)
    if size is not None and size > 1:
        return Decision(True, f"tried again with micro-batch {size // 2}, not sharing a device")
    what = "with micro-batch 1" if size == 1 else "and has no micro-batch to make smaller"
    if not ending.exclusive:
        return Decision(True, "tried again with nothing else beside it", costs=True)
    return Decision(False, f"given up: it had the place to itself {what}")


def micro_batch(config: Config) -> int | None:
    """Return the examples per forward pass; None for a stage without micro-batches."""
    if "micro_batch_size" not in type(config).model_fields:
        return None
    size: int = getattr(config, "micro_batch_size") or getattr(config, "batch_size")  # noqa: B009
    return size


def next_config(
    config: Config, former: Mapping[str, Any] | None, *, failure: Failure | None
) -> Config:
    """Return ``config`` with the micro-batch the next attempt takes.

    ``former`` is the configuration of the attempt before, in a request's form, ``failure`` how it
    ended. A smaller micro-batch than ``config`` asks for is kept, and halved once more after
    out of memory; the update, and so the fingerprint, stay the same.
    """
    asked = micro_batch(config)
    if asked is None or former is None:
        return config
    size = min(asked, former.get("micro_batch_size") or asked)
    if failure is not None and failure.kind is FailureClass.OUT_OF_MEMORY:
        size = max(1, size // 2)
    return config if size == asked else config.model_copy(update={"micro_batch_size": size})


def next_resources(
    asked: Resources, request: Mapping[str, Any], *, failure: Failure | None
) -> Resources:
    """Return what the next attempt asks of the hardware, given the last one's ``request``.

    Once out of memory a job never shares a device again. With no micro-batch left to halve it has
    its place to itself.
    """
    former = request.get("resources") or {}
    alone = bool(former.get("alone"))
    shares = asked.shares and bool(former.get("shares", True))
    if failure is not None and failure.kind is FailureClass.OUT_OF_MEMORY:
        config = request.get("config") or {}
        size = config.get("micro_batch_size") or config.get("batch_size")
        smallest = "micro_batch_size" not in config or size == 1
        alone, shares = alone or smallest, False
    return replace(asked, shares=shares and not alone, alone=alone)


def was_exclusive(request: Mapping[str, Any], record: Mapping[str, Any] | None) -> bool:
    """Tell whether an attempt had its place to itself, by its request and its exit record."""
    former = request.get("resources") or {}
    on_device = "cuda" in ((record or {}).get("numerics") or {})
    return bool(former.get("alone")) or (on_device and not former.get("shares", False))
