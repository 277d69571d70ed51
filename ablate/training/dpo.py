"""Direct preference optimization on pairs whose reference log-probabilities are an artifact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from ablate.algorithms.bradley_terry import wins
from ablate.algorithms.dpo import PairLogprobs, dpo_loss, gradient_weight, implicit_rewards
from ablate.data.preferences import read_pairs
from ablate.errors import StageError
from ablate.models.loading import load_policy, save_model
from ablate.models.logprobs import completion_logprobs
from ablate.spec.stages import DpoConfig
from ablate.store.workspace import Workspace
from ablate.training.device import pick_device
from ablate.training.examples import PairRows, count_kept, pair_rows
from ablate.training.learner import Learner, Share, settings_of
from ablate.training.loop import Pace, train, write_summary
from ablate.training.order import bucketed_batches
from ablate.training.reference import REFERENCE
from ablate.training.trainable import Trainable


class DpoObjective:
    """The mean DPO loss of an optimizer step's pairs."""

    def __init__(
        self, model: Any, rows: PairRows, reference: PairLogprobs, config: DpoConfig
    ) -> None:
        """Train ``model`` on pairs; ``reference`` holds their summed log-probabilities."""
        self.model, self.rows, self.reference, self.config = model, rows, reference, config

    def tokens(self, batch: Sequence[int]) -> int:
        """Return the completion tokens of both sides."""
        return self.rows.tokens(batch)

    def weight(self, batch: Sequence[int]) -> float:
        """Return the step's pairs, over which the loss is a mean."""
        return float(len(batch))

    def share(self, micro: Sequence[int], weight: float) -> Share:
        """Return some pairs' part of the mean loss and metrics."""
        scored = completion_logprobs(self.model, self.rows.of(micro), grad=True)
        policy = PairLogprobs(*scored.logprobs.sum(dim=1).chunk(2))  # each (pairs,)
        lengths = PairLogprobs(*scored.mask.sum(dim=1).chunk(2))
        index = torch.tensor(micro)
        reference = PairLogprobs(*(side[index].to(policy.chosen) for side in self.reference))
        rewards = implicit_rewards(policy, reference, beta=self.config.beta)
        loss = dpo_loss(rewards, label_smoothing=self.config.label_smoothing).sum() / weight
        each = {
            "reward_chosen": rewards.chosen,
            "reward_rejected": rewards.rejected,
            "reward_margin": rewards.margin,
            "accuracy": wins(rewards.margin),
            "gradient_weight": gradient_weight(rewards),
            "logp_chosen": policy.chosen,
            "logp_rejected": policy.rejected,
            "length_chosen": lengths.chosen,
            "length_rejected": lengths.rejected,
        }
        return Share(loss, {name: value.detach().sum() / weight for name, value in each.items()})


def run_dpo(workspace: Workspace, config: DpoConfig) -> None:
    """Train the ``policy`` input on the ``preferences`` input; write policy, metrics, summary."""
    device = pick_device()
    loaded = load_policy(workspace.inputs["policy"] / "model", device=device)
    pairs = read_pairs(workspace.inputs["preferences"])
    rows = pair_rows(loaded.boundary, pairs, config.max_length)
    count_kept(workspace, "pairs", kept=len(rows.kept), total=len(pairs))
    workspace.count(preferences=len(rows.kept))
    reference = read_reference(workspace.inputs["reference"], rows, total=len(pairs))
    trainable = Trainable(loaded, config.lora, seed=config.seed)
    batches = bucketed_batches(
        rows.lengths(), config.batch_size, epochs=config.epochs, seed=config.seed
    )
    learner = Learner(trainable, settings_of(config, len(batches)))
    objective = DpoObjective(trainable.model, rows, reference, config)
    train(workspace, learner, objective, batches=batches, pace=Pace.of(config, device))
    save_model(trainable.model, loaded.tokenizer, workspace.output / "model")
    write_summary(
        workspace,
        pairs=len(rows.kept),
        dropped_long=len(pairs) - len(rows.kept),
        steps=len(batches),
    )


def read_reference(folder: Path, rows: PairRows, *, total: int) -> PairLogprobs:
    """Return the reference log-probabilities of the kept pairs, each (kept,), fp32 on CPU.

    Raises StageError (``bad_data``) when the artifact belongs to other pairs.
    """
    stored = safetensors.torch.load_file(folder / REFERENCE)
    sides = PairLogprobs(stored["chosen"], stored["rejected"])
    kept = PairLogprobs(*(side[rows.kept] for side in sides)) if len(sides[0]) == total else None
    if kept is None or not all(side.isfinite().all() for side in kept):
        raise StageError(
            f"{folder / REFERENCE}: {len(sides.chosen)} rows that do not line up with {total} pairs"
            " of which this stage keeps others; rows and max_length must agree."
            " Recompute the reference stage.",
            kind="bad_data",
        )
    return kept
