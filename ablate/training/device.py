"""Where a stage computes, in which precision, and the record of it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch

from ablate.models.ranks import world_size
from ablate.store.workspace import Workspace
from ablate.training.optimizers import IMPLEMENTATIONS


def pick_device() -> str:
    """Return ``cuda`` where this process was given a GPU, else ``cpu``."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
    return "cuda" if not hidden and torch.cuda.is_available() else "cpu"


def autocast(device: str) -> AbstractContextManager[object]:
    """Return the precision of every forward pass: fp32 on CPU, bf16 over fp32 weights on a GPU.

    On CPUs without bf16 units, bf16 is an order of magnitude slower than fp32.
    """
    if device == "cpu":
        return nullcontext()
    # Blocks of a sharded model are gathered in bf16; a cache of casts would hold the whole model.
    return torch.autocast(device, dtype=torch.bfloat16, cache_enabled=world_size() == 1)


def record_numerics(workspace: Workspace, device: str, micro_batch_size: int | None) -> None:
    """Keep what rounding depends on besides the machine."""
    if world_size() > 1:
        workspace.numerics["ranks"] = world_size()
    workspace.numerics.update(
        device=device,
        dtype="float32" if device == "cpu" else "bfloat16-autocast",
        optimizer=IMPLEMENTATIONS[getattr(workspace.config, "optimizer", "adamw")],
        micro_batch_size=micro_batch_size,
        threads=torch.get_num_threads(),
    )
