"""Discriminator-guided DPO (arXiv:2405.01511): gold labels keep the reward model up to date."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ablate.algorithms.bradley_terry import bradley_terry_loss, wins
from ablate.models.boundary import Row
from ablate.models.loading import LoadedModel, new_reward_model, save_model
from ablate.models.logprobs import completion_scores
from ablate.rewards.responses import Response, RewardFunction
from ablate.rewards.reward_model import REWARD, RewardModel
from ablate.rewards.sources import RewardSource, load_reward
from ablate.spec.stages import D2poConfig
from ablate.store.workspace import Workspace
from ablate.training.device import autocast
from ablate.training.experience import Scores, score
from ablate.training.learner import Learner, Share, settings_of
from ablate.training.online import OnlineLoop, Scored
from ablate.training.order import chunks, cycled, turns
from ablate.training.ranked import RankedPairs, RankedUpdate, extremes
from ablate.training.rollouts import Rollouts
from ablate.training.schedule import LearningRate
from ablate.training.streams import permutation
from ablate.training.trainable import Trainable


def run_d2po(workspace: Workspace, config: D2poConfig) -> None:
    """Train the ``policy`` input, and a reward model with it; write policy, metrics and summary."""
    loop = OnlineLoop(workspace, config)
    reward = _first_reward(workspace, config, device=loop.device)
    source = RewardSource(config.gold, config.gold_origin)
    gold = load_reward(workspace.inputs, source, device=loop.device)
    discriminator = Discriminator(workspace, config, reward, gold)
    loop.run(D2poUpdate(loop, config, discriminator), reward)
    loop.finish(labels=len(discriminator.labels))


def _first_reward(workspace: Workspace, config: D2poConfig, *, device: str) -> RewardModel:
    """Return the reward model before any gold label."""
    if config.reward_init == "reward_model":
        return RewardModel(workspace.inputs["reward_model"], device=device)
    start = workspace.inputs.get("reward_start", workspace.inputs["policy"]) / "model"
    loaded = new_reward_model(start, layers=None, seed=config.seed)
    folder = workspace.scratch / "first-reward"
    save_model(loaded.model, loaded.tokenizer, folder / "model")
    (folder / REWARD).write_text(json.dumps({"gain": 1.0, "bias": 0.0}), encoding="utf-8")
    return RewardModel(folder, device=device)


Pair = tuple[Response, Response]
"""The first two samples of a prompt."""


def first_two(rollouts: Rollouts) -> list[Pair]:
    """Return what may be labelled: the first two samples of each prompt."""
    size, found = rollouts.samples_per_prompt, rollouts.responses
    return [(found[i], found[i + 1]) for i in range(0, len(found), size)]


class Discriminator:
    """The reward model in training, and the gold labels it has seen."""

    def __init__(
        self, workspace: Workspace, config: D2poConfig, reward: RewardModel, gold: RewardFunction
    ) -> None:
        """Open the reward model's weights to training."""
        self.workspace, self.config, self.reward, self.gold = workspace, config, reward, gold
        loaded = LoadedModel(reward.model, reward.tokenizer, reward.boundary)
        # All weights, also where the policy trains an adapter: the reward model is a small one.
        self.trainable = Trainable(loaded, None, seed=config.seed)
        rate = LearningRate(config.reward_learning_rate, "constant", 0.0, 1)
        self.learner = Learner(self.trainable, replace(settings_of(config, 1), rate=rate))
        self.labels: list[tuple[Row, Row]] = []
        """Chosen and rejected row of every pair that gold told apart."""

    def due(self, step: int) -> bool:
        """Return whether labels are bought before this step's update."""
        every = self.config.relabel_every_steps
        return self._left() > 0 and (step == 0 if every is None else step % every == 0)

    def _left(self) -> int:
        """Return how many labels may be bought in this round."""
        budget = self.config.budget
        if budget is None or budget.unit != "preferences":
            return self.config.labels_per_round
        spent = self.workspace.counts.get("preferences", 0.0)
        return min(self.config.labels_per_round, int(budget.amount - spent))

    def buy(self, pairs: Sequence[Pair], margins: Tensor, *, step: int) -> dict[str, float]:
        """Label some pairs by gold and train on all labels; return metrics.

        ``margins`` are the reward model's. A pair that gold finds equal was paid for and teaches
        nothing.
        """
        chosen = self._select(margins, step)
        flat = [response for i in chosen for response in pairs[i]]
        scores = self.gold.score(flat).reshape(-1, 2)
        agreed = 0
        for i, (a, b) in zip(chosen, scores.tolist(), strict=True):
            if a == b:
                continue
            first, second = map(self.reward.row, pairs[i])
            self.labels.append((first, second) if a > b else (second, first))
            agreed += (a > b) == (float(margins[i]) > 0)
        self.workspace.count(preferences=len(chosen))
        told_apart = int((scores[:, 0] != scores[:, 1]).sum())
        agreement = agreed / told_apart if told_apart else float("nan")
        return {
            "reward_model_agreement": agreement,
            "label_ties": 1.0 - told_apart / len(chosen),
            **self._train(step),
        }

    def _select(self, margins: Tensor, step: int) -> list[int]:
        """Return which pairs are labelled."""
        order = permutation(len(margins), self.config.seed, "labels", step)
        if self.config.select == "confidence":
            size = margins.abs().tolist()
            order = sorted(order, key=lambda i: size[i])
        return order[: self._left()]

    def _train(self, step: int) -> dict[str, float]:
        """Take ``reward_epochs`` passes over all labels."""
        last: dict[str, float] = {}
        for epoch in range(self.config.reward_epochs if self.labels else 0):
            order = permutation(len(self.labels), self.config.seed, "reward", step, epoch)
            for indices in chunks(order, self.config.reward_batch_size):
                last = self.learner.update(self._shares(indices))
        names = {"loss": "reward_loss", "accuracy": "reward_accuracy"}
        return {named: last[name] for name, named in names.items() if name in last}

    def _shares(self, indices: Sequence[int]) -> Iterator[Share]:
        total = float(len(indices))
        for turn in turns(indices, self.config.micro_batch_size):
            rows = [self.labels[i][side] for side in (0, 1) for i in turn.rows]
            scores = completion_scores(self.trainable.model, rows, grad=True)
            chosen, rejected = scores.chunk(2)
            loss = bradley_terry_loss(chosen, rejected).sum() / total
            accuracy = wins((chosen - rejected).detach()).sum() / total
            yield Share(loss, {"accuracy": accuracy}).times(turn.weight)


class D2poUpdate(RankedUpdate):
    """Online DPO whose reward model may change before a batch is ranked."""

    def __init__(self, loop: OnlineLoop, config: D2poConfig, discriminator: Discriminator) -> None:
        """Train the loop's policy, ranked by the discriminator."""
        super().__init__(loop.terms, config, steps=loop.steps)
        self.loop = loop
        self.discriminator, self.rules = discriminator, config

    @property
    def learners(self) -> dict[str, Learner]:
        """Policy and reward model."""
        return {**super().learners, "reward": self.discriminator.learner}

    def state(self) -> dict[str, Any]:
        """Return the labels bought so far."""
        return {"labels": [[list(map(list, row)) for row in pair] for pair in self._labels()]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go back to the labels of a state."""
        self.discriminator.labels = [
            (_row(chosen), _row(rejected)) for chosen, rejected in state["labels"]
        ]

    def prepare(self, batch: Scored) -> RankedPairs:
        """Buy labels where they are due, then rank the batch by the reward model as it is."""
        bought: dict[str, float] = {}
        rollouts = batch.rollouts
        if self.discriminator.due(batch.step):
            grouped = rollouts.grouped(batch.scores.final)
            pairs, margins = first_two(rollouts), grouped[:, 0] - grouped[:, 1]
            with autocast(self.terms.device):
                if (more := self.rules.labels_per_round - len(pairs)) > 0:
                    further, gaps = self._further(more, step=batch.step)
                    pairs, margins = pairs + further, torch.cat([margins, gaps])
                bought = self.discriminator.buy(pairs, margins, step=batch.step)
                batch = replace(batch, scores=self._rescored(batch.rollouts))
        ranked = super().prepare(batch)
        gold = self.discriminator.gold.score(rollouts.responses).float()
        metrics = {
            **ranked.metrics,
            **bought,
            "labels": float(len(self.discriminator.labels)),
            "gold_reward": gold.mean().item(),
            "gold_agreement": _agreement(rollouts, batch.scores.final, gold),
        }
        return replace(ranked, metrics=metrics)

    def _labels(self) -> list[tuple[Row, Row]]:
        return self.discriminator.labels

    def _further(self, count: int, *, step: int) -> tuple[list[Pair], Tensor]:
        """Sample the next ``count`` prompts, to be labelled only; return pairs and margins."""
        loop = self.loop
        each = self.rules.samples_per_prompt
        own = self.rules.rollouts_per_step // each
        positions = cycled(len(loop.prompts.prompts), step * own, own + count, seed=self.rules.seed)
        before = [index for index in positions[:own] for _ in range(each)]
        two = self.rules.model_copy(update={"samples_per_prompt": 2})
        model, boundary = loop.terms.model, loop.boundary
        rollouts = loop.prompts.sampled(
            model, boundary, two, chosen=positions[own:], step=step, before=before
        )
        final = rollouts.grouped(self._rescored(rollouts).final)
        loop.workspace.count(generated_tokens=rollouts.tokens)
        return first_two(rollouts), final[:, 0] - final[:, 1]

    def _rescored(self, rollouts: Rollouts) -> Scores:
        return score(rollouts, self.discriminator.reward, self.rules)


def _agreement(rollouts: Rollouts, scores: Tensor, gold: Tensor) -> float:
    """Return how often the pairs that are trained on have the order that gold gives them."""
    best, worst, differ = extremes(rollouts.grouped(scores))
    truth = rollouts.grouped(gold.to(scores))
    margin = (truth.gather(1, best[:, None]) - truth.gather(1, worst[:, None]))[:, 0]
    return wins(margin[differ]).mean().item()


def _row(parts: Sequence[Sequence[int]]) -> Row:
    return Row(tuple(parts[0]), tuple(parts[1]))
