"""Supervised fine-tuning: the mean NLL of completion tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ablate.algorithms.supervised import negative_log_likelihood
from ablate.models.boundary import Row
from ablate.models.loading import LoadedModel, load_policy, save_model
from ablate.models.logprobs import completion_logprobs
from ablate.models.token_store import completion_lengths_of, lengths_of
from ablate.spec.stages import SftConfig, TrainingConfig
from ablate.store.workspace import Workspace
from ablate.training.backends.stage import run_elsewhere
from ablate.training.device import pick_device
from ablate.training.examples import (
    count_kept,
    fitting_demonstrations,
    read_demonstration_table,
    some,
)
from ablate.training.learner import Learner, Share, settings_of
from ablate.training.loop import Pace, train, write_summary
from ablate.training.order import bucketed_batches
from ablate.training.trainable import Trainable


class SftObjective:
    """The mean NLL of an optimizer step's completion tokens, prompts left out."""

    def __init__(self, model: Any, rows: Sequence[Row]) -> None:
        """Train ``model`` on ``rows``."""
        self.model, self.rows = model, rows

    def tokens(self, batch: Sequence[int]) -> int:
        """Return the completion tokens, end tokens included."""
        return int(completion_lengths_of(some(self.rows, batch)).sum())

    def weight(self, batch: Sequence[int]) -> float:
        """Return the step's completion tokens, over which the loss is a mean."""
        return float(self.tokens(batch))

    def share(self, micro: Sequence[int], weight: float) -> Share:
        """Return some examples' part of the token mean."""
        scored = completion_logprobs(self.model, [self.rows[i] for i in micro], grad=True)
        loss = negative_log_likelihood(scored.logprobs, scored.mask, total_tokens=weight)
        return Share(loss, {"tokens": torch.tensor(float(self.tokens(micro)))})


def run(workspace: Workspace) -> None:
    """Fine-tune the ``model`` input; write the policy, its step metrics and a summary."""
    config = workspace.config
    assert isinstance(config, SftConfig)
    if config.backend != "native":
        return run_elsewhere(workspace, config)
    device = pick_device()
    loaded = load_policy(workspace.inputs["model"] / "model", device=device)
    demonstrations = read_demonstration_table(workspace.inputs, loaded.boundary, config)
    rows = fitting_demonstrations(demonstrations, config.max_length)
    count_kept(workspace, "demonstrations", kept=len(rows), total=len(demonstrations))
    steps = imitate(workspace, config, loaded, rows)
    write_summary(
        workspace,
        demonstrations=len(rows),
        dropped_long=len(demonstrations) - len(rows),
        steps=steps,
    )


def imitate(
    workspace: Workspace, config: TrainingConfig, loaded: LoadedModel, rows: Sequence[Row]
) -> int:
    """Fine-tune a model on rows and write it as the policy; return the optimizer steps."""
    trainable = Trainable.of(loaded, config)
    batches = bucketed_batches(
        lengths_of(rows), config.batch_size, epochs=config.epochs, seed=config.seed
    )
    learner = Learner(trainable, settings_of(config, len(batches)))
    objective = SftObjective(trainable.model, rows)
    train(workspace, learner, objective, batches=batches, pace=Pace.of(config, pick_device()))
    save_model(trainable.model, loaded.tokenizer, workspace.output / "model")
    return len(batches)
