"""Log-probabilities of every pair under the frozen reference, computed once and shared."""

from __future__ import annotations

import safetensors.torch
import torch

from ablate.data.preferences import read_pairs
from ablate.models.batching import row_lengths
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
    lengths = row_lengths(both)
    order = sorted(range(len(both)), key=lambda i: lengths[i])
    sums = torch.empty(len(both))
    done = 0
    for chunk in chunks(order, ROWS_AT_ONCE):
        with workspace.timed("scoring"), autocast(device):
            scored = completion_logprobs(
                loaded.model, [both[i] for i in chunk], temperature=config.temperature, grad=False
            )
        sums[chunk] = scored.logprobs.sum(dim=1).cpu()
        done += len(chunk)
        workspace.progress(done, len(both))
    sides = {name: torch.full((len(pairs),), torch.nan) for name in ("chosen", "rejected")}
    sides["chosen"][rows.kept], sides["rejected"][rows.kept] = sums.chunk(2)
    safetensors.torch.save_file(sides, workspace.output / REFERENCE)
    write_summary(workspace, pairs=len(rows.kept), dropped_long=len(pairs) - len(rows.kept))
