"""Bradley-Terry reward models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ablate.algorithms.bradley_terry import bradley_terry_loss, wins
from ablate.data.preferences import read_pairs
from ablate.models.loading import new_reward_model, save_model
from ablate.models.logprobs import completion_scores
from ablate.spec.stages import RewardModelConfig
from ablate.store.workspace import Workspace
from ablate.training.device import pick_device
from ablate.training.examples import PairRows, count_kept, pair_rows
from ablate.training.learner import Learner, Share, settings_of
from ablate.training.loop import Pace, train, write_summary
from ablate.training.order import bucketed_batches
from ablate.training.reward_scale import write_scale
from ablate.training.trainable import Trainable


class RewardObjective:
    """The mean Bradley-Terry loss of an optimizer step's pairs."""

    def __init__(self, model: Any, rows: PairRows, config: RewardModelConfig) -> None:
        """Train ``model`` on pairs."""
        self.model, self.rows, self.config = model, rows, config

    def tokens(self, batch: Sequence[int]) -> int:
        """Return the completion tokens of both sides."""
        return self.rows.tokens(batch)

    def weight(self, batch: Sequence[int]) -> float:
        """Return the step's pairs, over which the loss is a mean."""
        return float(len(batch))

    def share(self, micro: Sequence[int], weight: float) -> Share:
        """Return some pairs' part of the mean loss and metrics."""
        scores = completion_scores(self.model, self.rows.of(micro), grad=True)
        chosen, rejected = scores.chunk(2)  # each (pairs,)
        loss = bradley_terry_loss(
            chosen,
            rejected,
            margin=self.config.margin,
            centering_coef=self.config.centering_coef,
        )
        margin = (chosen - rejected).detach()
        each = {
            "accuracy": wins(margin),
            "margin": margin,
            "score_mean": 0.5 * (chosen + rejected).detach(),
        }
        metrics = {name: value.sum() / weight for name, value in each.items()}
        return Share(loss.sum() / weight, metrics)


def run(workspace: Workspace) -> None:
    """Train a reward model from the ``policy`` input on ``preferences``, then set its scale."""
    config = workspace.config
    assert isinstance(config, RewardModelConfig)
    device = pick_device()
    policy = workspace.inputs["policy"] / "model"
    loaded = new_reward_model(policy, layers=config.layers, seed=config.seed, device=device)
    pairs = read_pairs(workspace.inputs["preferences"])
    rows = pair_rows(loaded.boundary, pairs, config.max_length)
    count_kept(workspace, "pairs", kept=len(rows.kept), total=len(pairs))
    workspace.count(preferences=len(rows.kept))
    trainable = Trainable(loaded, config.lora, seed=config.seed)
    batches = bucketed_batches(
        rows.lengths(), config.batch_size, epochs=config.epochs, seed=config.seed
    )
    learner = Learner(trainable, settings_of(config, len(batches)))
    objective = RewardObjective(trainable.model, rows, config)
    train(workspace, learner, objective, batches=batches, pace=Pace.of(config, device))
    save_model(trainable.model, loaded.tokenizer, workspace.output / "model")
    write_scale(workspace, loaded, pairs, device=device)
    write_summary(
        workspace,
        pairs=len(rows.kept),
        dropped_long=len(pairs) - len(rows.kept),
        steps=len(batches),
    )
