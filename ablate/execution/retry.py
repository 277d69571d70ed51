"""What follows a failure: another attempt or none, and with which micro-batch; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ablate.execution.failures import Failure, FailureClass
from ablate.spec.config import Config

FRESH_AFTER = frozenset({FailureClass.BUG, FailureClass.BAD_DATA})
"""Failures whose checkpoint the next attempt does not trust."""

LASTING = frozenset(
    {
        FailureClass.BUG,
        FailureClass.BAD_DATA,
        FailureClass.NON_FINITE_LOSS,
        FailureClass.SURROUNDINGS,
    }
)
"""Failures that the same attempt would meet again."""


def is_retried(failure: Failure, config: Config, *, losses: int, retries: int) -> bool:
    """Tell whether a job gets another attempt after ``failure``.

    ``losses`` counts its lost workers since its last checkpoint, this one included. ``config`` is
    that of the failed attempt.
    """
    if failure.kind is FailureClass.OUT_OF_MEMORY:
        return (micro_batch(config) or 1) > 1
    if failure.kind is FailureClass.WORKER_LOST:
        return losses <= retries
    return failure.kind is FailureClass.PREEMPTED


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


def blown(failures: Iterable[tuple[str, Failure]], succeeded: frozenset[str], *, fuse: int) -> str:
    """Return why the study should stop; empty where it should not.

    ``failures`` are stage and failure of every failed job, ``succeeded`` the stages with a job
    that did not fail. Equal failures of a whole stage are a mistake in the study or the program,
    and the night is better spent asleep.
    """
    seen: dict[tuple[str, str, str], int] = {}
    for stage, failure in failures:
        if stage in succeeded:
            continue
        key = (stage, *failure.signature())
        seen[key] = seen.get(key, 0) + 1
        if seen[key] >= fuse:
            return f"{seen[key]} {stage} jobs failed alike and none succeeded: {failure.message}"
    return ""
