"""Log-probabilities of every pair under the frozen reference, computed once and shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from ablate.models.boundary import Row
from ablate.models.loading import load_policy
from ablate.models.logprobs import completion_logprobs
from ablate.models.token_store import lengths_of
from ablate.spec.stages import ReferenceConfig
from ablate.store.workspace import Workspace
from ablate.training.device import autocast, pick_device, record_numerics
from ablate.training.examples import count_kept, fitting_pairs, read_pair_table, some
from ablate.training.loop import write_summary

REFERENCE = "reference.safetensors"
ROWS_AT_ONCE = 512
"""Completions of about equal length between two progress reports."""


def run(workspace: Workspace) -> None:
    """Write ``chosen`` and ``rejected``, each (pairs,), fp32: sums in nats, NaN where too long."""
    config = workspace.config
    assert isinstance(config, ReferenceConfig)
    device = pick_device()
    record_numerics(workspace, device, None)
    loaded = load_policy(workspace.inputs["policy"] / "model", device=device)
    pairs = read_pair_table(workspace.inputs, loaded.boundary)
    rows = fitting_pairs(pairs, config.max_length)
    count_kept(workspace, "pairs", kept=len(rows.kept), total=len(pairs))
    sums = frozen_sums(
        workspace, loaded.model, rows.both(), temperature=config.temperature, device=device
    )
    sides = {name: torch.full((len(pairs),), torch.nan) for name in ("chosen", "rejected")}
    kept = torch.as_tensor(rows.kept)
    sides["chosen"][kept], sides["rejected"][kept] = sums.chunk(2)
    safetensors.torch.save_file(sides, workspace.output / REFERENCE)
    write_summary(workspace, pairs=len(rows.kept), dropped_long=len(pairs) - len(rows.kept))


def frozen_sums(
    workspace: Workspace,
    model: Any,
    rows: Sequence[Row],
    *,
    temperature: float = 1.0,
    device: str = "cpu",
) -> Tensor:
    """Return the summed log-probability of each completion, (rows,), fp32 on CPU, in nats."""
    order = np.argsort(lengths_of(rows), kind="stable")
    sums = torch.empty(len(rows))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        chunk = order[start : start + ROWS_AT_ONCE].tolist()
        with workspace.timed("scoring"), autocast(device):
            scored = completion_logprobs(
                model, list(some(rows, chunk)), temperature=temperature, grad=False
            )
        sums[chunk] = scored.logprobs.sum(dim=1).cpu()
        workspace.progress(start + len(chunk), len(rows))
    return sums
