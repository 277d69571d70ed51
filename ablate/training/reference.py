"""Log-probabilities of every pair under the frozen reference, computed once and shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ablate.data.preferences import read_pairs
from ablate.models.batching import row_lengths
from ablate.models.boundary import Row
from ablate.models.loading import load_policy
from ablate.models.logprobs import completion_logprobs
from ablate.spec.stages import ReferenceConfig
from ablate.store.workspace import Workspace
from ablate.training.device import autocast, pick_device, record_numerics
from ablate.training.examples import count_kept, pair_rows
from ablate.training.loop import write_summary
from ablate.training.order import chunks

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
    pairs = read_pairs(workspace.inputs["preferences"])
    rows = pair_rows(loaded.boundary, pairs, config.max_length)
    count_kept(workspace, "pairs", kept=len(rows.kept), total=len(pairs))
    both = rows.chosen + rows.rejected
    sums = frozen_sums(workspace, loaded.model, both, temperature=config.temperature, device=device)
    sides = {name: torch.full((len(pairs),), torch.nan) for name in ("chosen", "rejected")}
    sides["chosen"][rows.kept], sides["rejected"][rows.kept] = sums.chunk(2)
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
    lengths = row_lengths(rows)
    order = sorted(range(len(rows)), key=lambda i: lengths[i])
    sums = torch.empty(len(rows))
    done = 0
    for chunk in chunks(order, ROWS_AT_ONCE):
        with workspace.timed("scoring"), autocast(device):
            scored = completion_logprobs(
                model, [rows[i] for i in chunk], temperature=temperature, grad=False
            )
        sums[chunk] = scored.logprobs.sum(dim=1).cpu()
        done += len(chunk)
        workspace.progress(done, len(rows))
    return sums
