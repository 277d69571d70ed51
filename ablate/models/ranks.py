"""The processes that work on one job together: one, unless torchrun started several.

Every rank runs the same stage on the same inputs, so every decision falls alike on all of them.
They part in two places only. Inside an optimizer step each rank takes its own rows (`apart`);
everywhere else a batch of rows is divided, worked on and put together again, and every rank holds
the same numbers afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

_parted: ContextVar[bool] = ContextVar("parted", default=False)


def world_size() -> int:
    """Return how many processes work on the job."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return which of them this is; rank 0 writes what the job leaves behind."""
    return dist.get_rank() if dist.is_initialized() else 0


def device_type() -> str:
    """Return ``cuda`` where the ranks have a GPU each, else ``cpu``."""
    return "cuda" if "nccl" in dist.get_backend_config() else "cpu"


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Meet the other processes that torchrun started, on ``cpu`` or ``cuda``; part at the end."""
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Python objects and single numbers travel over gloo also between GPUs.
    dist.init_process_group("gloo" if device == "cpu" else "cpu:gloo,cuda:nccl")
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def apart() -> Iterator[None]:
    """Let every rank work on rows of its own: the shares of an optimizer step."""
    token = _parted.set(True)
    try:
        yield
    finally:
        _parted.reset(token)


def divided() -> bool:
    """Return whether rows that all ranks hold are divided among them now."""
    return world_size() > 1 and not _parted.get()


def own(items: Sequence[T]) -> list[T]:
    """Return every world-size-th item from this rank's number on; all where none are divided.

    Strided and not cut, because neighbours in a sorted batch cost alike.
    """
    return list(items[rank() :: world_size()]) if divided() else list(items)


def together(mine: Sequence[T]) -> list[T]:
    """Return the results of every rank's `own` items in the order of the items, on every rank."""
    if not divided():
        return list(mine)
    parts: list[Any] = [None] * world_size()
    dist.all_gather_object(parts, list(mine))
    total = sum(len(part) for part in parts)
    return [parts[i % len(parts)][i // len(parts)] for i in range(total)]


def pooled(mine: Tensor) -> Tensor:
    """Return the sum of what the ranks hold where rows are divided: zeros where others worked."""
    return _reduced(mine, dist.ReduceOp.SUM) if divided() else mine


def largest(number: float) -> float:
    """Return the largest of the ranks' numbers, in and outside of `apart`."""
    if world_size() == 1:
        return number
    return float(_reduced(torch.tensor(number, dtype=torch.float64), dist.ReduceOp.MAX))


def totals(parts: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the sums over ranks of scalars that every rank has under the same names."""
    if world_size() == 1:
        return {name: part.item() for name, part in parts.items()}
    column = torch.stack([part.detach().double().cpu() for part in parts.values()])
    return dict(zip(parts, _reduced(column, dist.ReduceOp.SUM).tolist(), strict=True))


def _reduced(mine: Tensor, how: Any) -> Tensor:
    # A clone: the caller's tensor may be an inference tensor, which nothing may write to.
    result = mine.clone()
    dist.all_reduce(result, how)
    return result
