"""Stages for one device and for two."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ablate.models.ranks import pooled, rank, world_size
from ablate.store.workspace import CHECKPOINT, Workspace
from ablate.training import sft

STEPS_ALONE, STEPS_TOGETHER = 4, 8


def too_large_for_one(workspace: Workspace) -> None:
    """Train, but run out of memory after some steps where no other rank helps."""

    def report(event: Mapping[str, Any]) -> None:
        workspace.report(event)
        if world_size() == 1 and event.get("done") == STEPS_ALONE:
            raise MemoryError("one device is too small")

    sft.run(replace(workspace, report=report))


def too_large_for_rank_1(workspace: Workspace) -> None:
    """Fail on rank 1 while rank 0 waits for it."""
    if rank() == 1:
        raise MemoryError("rank 1 is too small")
    pooled(torch.ones(1))


def rank_1_dies_once(workspace: Workspace) -> None:
    """Train; in the second attempt rank 1 is killed two steps after a checkpoint."""
    doomed = rank() == 1 and _attempt(workspace) == "2"

    def report(event: Mapping[str, Any]) -> None:
        workspace.report(event)
        if doomed and event.get("done") == STEPS_TOGETHER:
            os.kill(os.getpid(), signal.SIGKILL)

    sft.run(replace(workspace, report=report))


def _attempt(follower: Workspace) -> str:
    """Return the attempt whose checkpoint another rank than 0 starts from."""
    return Path(os.readlink(follower.scratch / CHECKPOINT)).parent.parent.name
