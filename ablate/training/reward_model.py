"""Bradley-Terry reward models, and the scale of their scores."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablate.algorithms.bradley_terry import bradley_terry_loss, wins
from ablate.data.preferences import read_pairs
from ablate.data.records import Pair
from ablate.errors import StageError
from ablate.models.boundary import Row
from ablate.models.loading import LoadedModel, load_policy, new_reward_model, save_model
from ablate.models.logprobs import completion_scores
from ablate.models.sampling import Request, SamplingParams, sample
from ablate.rewards.reward_model import REWARD
from ablate.spec.stages import RewardModelConfig
from ablate.store.workspace import Workspace
from ablate.training.device import autocast, pick_device
from ablate.training.examples import PairRows, count_kept, pair_rows
from ablate.training.learner import Learner, Share, settings_of
from ablate.training.loop import Pace, train, write_summary
from ablate.training.order import bucketed_batches
from ablate.training.streams import derived_seed, permutation
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
    scale: Mapping[str, float | None] = {
        "gain": 1.0,
        "bias": 0.0,
        "raw_mean": None,
        "raw_std": None,
    }
    if config.normalize:
        with autocast(device):
            scale = _scale(workspace, loaded, pairs, device=device)
    _write_reward(workspace.output, scale, layers=loaded.model.config.num_hidden_layers)
    write_summary(
        workspace,
        pairs=len(rows.kept),
        dropped_long=len(pairs) - len(rows.kept),
        steps=len(batches),
    )


def _scale(
    workspace: Workspace, reward: LoadedModel, pairs: Sequence[Pair], *, device: str
) -> dict[str, float | None]:
    """Return the scale on which samples of the reference have mean 0 and standard deviation 1.

    One sample, at temperature 1, for each of some training prompts. Samples that were cut count
    too, though reinforcement learning may replace their score.
    """
    config = workspace.config
    assert isinstance(config, RewardModelConfig)
    policy = load_policy(workspace.inputs["policy"] / "model", device=device)
    prompts = sorted({policy.boundary.prompt_ids(pair.prompt) for pair in pairs})
    chosen = permutation(len(prompts), config.seed, "normalization")
    requests = [Request(prompts[i]) for i in chosen[: config.normalization_prompts]]
    params = SamplingParams(
        max_new_tokens=config.max_new_tokens,
        temperature=1.0,
        seed=derived_seed(config.seed, "normalization"),
    )
    with workspace.timed("rollout"):
        samples = sample(policy.model, policy.boundary, requests, params)
    rows = [Row(r.prompt, s.tokens) for r, s in zip(requests, samples, strict=True)]
    with workspace.timed("scoring"):
        raw = completion_scores(reward.model, rows).double()
    workspace.count(generated_tokens=sum(len(s.tokens) for s in samples), reward_calls=len(samples))
    mean, std = raw.mean().item(), raw.std(correction=0).item()
    if not (math.isfinite(mean) and std > 0.0):
        raise StageError(
            f"reward normalization: {len(rows)} samples have mean {mean} and standard deviation"
            f" {std}; it must be above 0. Use more normalization_prompts, or look at the samples.",
            kind="bad_data",
        )
    return {"gain": 1.0 / std, "bias": -mean / std, "raw_mean": mean, "raw_std": std}


def _write_reward(folder: Path, scale: Mapping[str, float | None], *, layers: int) -> None:
    text = json.dumps({**scale, "layers": layers}, sort_keys=True, indent=1, allow_nan=False)
    (folder / REWARD).write_text(text + "\n", encoding="utf-8")
