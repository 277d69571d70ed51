"""Online DPO and rounds of DPO: the best and the worst sample of a prompt make a pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ablate.algorithms.bradley_terry import wins
from ablate.algorithms.dpo import PairLogprobs, dpo_loss, gradient_weight, implicit_rewards
from ablate.models.boundary import Row
from ablate.rewards.sources import RewardSource, load_reward
from ablate.spec.online import RankedSamplesConfig, RoundsConfig
from ablate.store.workspace import Workspace
from ablate.training.kl_price import divergence_metrics
from ablate.training.learner import Learner, Share, settings_of
from ablate.training.online import OnlineLoop, Scored
from ablate.training.order import chunks, turns
from ablate.training.policy_terms import PolicyTerms
from ablate.training.rollouts import Rollouts
from ablate.training.step_metrics import StepMetrics
from ablate.training.streams import permutation


@dataclass(frozen=True)
class RankedPairs:
    """The pairs of a rollout batch that are no ties, with the reference's log-probabilities."""

    step: int
    chosen: list[Row]
    rejected: list[Row]
    reference: PairLogprobs
    metrics: Mapping[str, float]

    def rows(self, pairs: Sequence[int]) -> list[Row]:
        """Return the rows of some pairs, all chosen ones first."""
        return [self.chosen[i] for i in pairs] + [self.rejected[i] for i in pairs]


def run_ranked(workspace: Workspace, config: RankedSamplesConfig) -> None:
    """Train the ``policy`` input on its own ranked samples; write policy, metrics and summary."""
    config = as_steps(config)
    loop = OnlineLoop(workspace, config)
    update = RankedUpdate(loop.terms, config, steps=loop.steps)
    source = RewardSource.of(config)
    loop.run(update, load_reward(workspace.inputs, source, device=loop.device))
    loop.finish()


def as_steps(config: RankedSamplesConfig) -> RankedSamplesConfig:
    """Return the configuration with a round as a step, where the algorithm goes by rounds."""
    if not isinstance(config, RoundsConfig):
        return config
    rollouts = config.prompts_per_round * config.samples_per_prompt
    return config.model_copy(update={"steps": config.rounds, "rollouts_per_step": rollouts})


def extremes(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best and the worst sample of each prompt, and whether they differ: (prompts,).

    Among equals the first counts, so that nothing but scores and order decides.
    """
    best, worst = scores.argmax(dim=1), scores.argmin(dim=1)
    return best, worst, scores.amax(dim=1) > scores.amin(dim=1)


class RankedUpdate:
    """The policy with its optimizer; a DPO loss on pairs of its own samples."""

    def __init__(self, terms: PolicyTerms, config: RankedSamplesConfig, *, steps: int) -> None:
        """Prepare the optimizer for ``steps`` rollout batches."""
        self.terms, self.config = terms, config
        rounds = isinstance(config, RoundsConfig)
        self.epochs = config.epochs_per_round if isinstance(config, RoundsConfig) else 1
        self.own_reference = rounds and getattr(config, "round_reference", "") == "previous"
        """Whether the reference of a batch is the policy that sampled it."""
        prompts = config.rollouts_per_step // config.samples_per_prompt
        updates = steps * self.epochs * -(-prompts // config.batch_size)
        self.policy_learner = Learner(terms.trainable, settings_of(config, updates))

    @property
    def learners(self) -> dict[str, Learner]:
        """The policy alone."""
        return {"policy": self.policy_learner}

    def state(self) -> dict[str, Any]:
        """Return nothing: the learner is the whole state."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go back to a state, of which nothing is kept here."""

    def prepare(self, batch: Scored) -> RankedPairs:
        """Pair the best with the worst sample of each prompt; ties are left out and counted."""
        rollouts = batch.rollouts
        best, worst, differ = extremes(rollouts.grouped(batch.scores.final))
        first = torch.arange(rollouts.prompts, device=best.device) * rollouts.samples_per_prompt
        kept = differ.nonzero().flatten()
        chosen, rejected = (first + best)[kept].tolist(), (first + worst)[kept].tolist()
        reference, divergence = self._reference(rollouts)
        sums = (reference * rollouts.mask.to(reference)).sum(dim=1)
        return RankedPairs(
            step=batch.step,
            chosen=[rollouts.rows[i] for i in chosen],
            rejected=[rollouts.rows[i] for i in rejected],
            reference=PairLogprobs(sums[chosen], sums[rejected]),
            metrics={"tied_fraction": 1.0 - len(kept) / rollouts.prompts, **divergence},
        )

    def _reference(self, rollouts: Rollouts) -> tuple[Tensor, dict[str, float]]:
        """Return what the pairs stay close to, (B, T), and the divergence from the first policy."""
        sampled = self.terms.sampled_logprobs(rollouts)
        first = self.terms.reference_logprobs(rollouts.rows)
        divergence = divergence_metrics(sampled, first, rollouts.mask.to(sampled.device))
        return (sampled if self.own_reference else first), divergence

    def learn(self, prepared: RankedPairs) -> dict[str, float]:
        """Take the passes over the pairs, each in an order of its own."""
        metrics = StepMetrics()
        for epoch in range(self.epochs):
            order = permutation(
                len(prepared.chosen), self.config.seed, "minibatches", prepared.step, epoch
            )
            for pairs in chunks(order, self.config.batch_size):
                metrics.add(self.policy_learner.update(self._shares(prepared, pairs)))
        rows = [*prepared.chosen, *prepared.rejected]
        tokens = sum(len(row.completion) for row in rows)
        return {
            **prepared.metrics,
            **metrics.means(),
            "pairs": float(len(prepared.chosen)),
            "trained_tokens": float(tokens * self.epochs),
        }

    def _shares(self, batch: RankedPairs, pairs: Sequence[int]) -> Iterator[Share]:
        for turn in turns(pairs, self.config.micro_batch_size):
            logprobs = self.terms.logprobs(batch.rows(turn.rows), grad=True)
            policy = PairLogprobs(*logprobs.sum(dim=1).chunk(2))
            index = torch.tensor(turn.rows, device=logprobs.device)
            reference = PairLogprobs(*(side[index] for side in batch.reference))
            share = pair_share(policy, reference, beta=self.config.beta, total=float(len(pairs)))
            yield share.times(turn.weight)


def pair_share(
    policy: PairLogprobs, reference: PairLogprobs, *, beta: float, total: float
) -> Share:
    """Return some pairs' part of the mean DPO loss and its metrics."""
    rewards = implicit_rewards(policy, reference, beta=beta)
    each = {
        "reward_chosen": rewards.chosen,
        "reward_rejected": rewards.rejected,
        "reward_margin": rewards.margin,
        "accuracy": wins(rewards.margin),
        "gradient_weight": gradient_weight(rewards),
        "logp_chosen": policy.chosen,
        "logp_rejected": policy.rejected,
    }
    loss = dpo_loss(rewards).sum() / total
    return Share(loss, {name: value.detach().sum() / total for name, value in each.items()})
