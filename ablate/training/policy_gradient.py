"""REINFORCE, RLOO and GRPO: policy gradients of whole completions, without a critic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ablate.algorithms.advantages import whiten
from ablate.algorithms.baselines import (
    batch_mean_advantages,
    group_relative_advantages,
    leave_one_out_advantages,
    moving_average,
    without_signal,
)
from ablate.algorithms.kl import kl_per_token
from ablate.algorithms.policy_gradient import (
    Samples,
    StepTotals,
    kl_loss,
    reinforce_loss,
    sequence_clipped_loss,
    token_clipped_loss,
    token_weights,
)
from ablate.algorithms.ppo import PolicyObjective
from ablate.algorithms.token_rewards import sequence_rewards, without_truncated
from ablate.models.boundary import Row
from ablate.models.ranks import largest
from ablate.rewards.sources import RewardSource, load_reward
from ablate.spec.stages import GrpoConfig, ReinforceConfig, RlooConfig
from ablate.store.workspace import Workspace
from ablate.training.kl_price import KlPrice, divergence_metrics
from ablate.training.learner import Learner, Share, settings_of
from ablate.training.online import OnlineLoop, Scored
from ablate.training.order import chunks, turns
from ablate.training.policy_terms import PolicyTerms
from ablate.training.rollouts import Rollouts
from ablate.training.step_metrics import StepMetrics
from ablate.training.streams import permutation

CriticFree = ReinforceConfig | RlooConfig | GrpoConfig


@dataclass(frozen=True)
class Batch:
    """A rollout batch with its advantages."""

    step: int
    rows: Sequence[Row]
    samples: Samples
    reference: Tensor  # (B, T)
    kl_coef: float
    """Price of this batch; that of the next is adapted to what was seen here."""
    metrics: Mapping[str, float]


def run_policy_gradient(workspace: Workspace, config: CriticFree) -> None:
    """Train the ``policy`` input against the reward; write policy, metrics and summary."""
    loop = OnlineLoop(workspace, config)
    update = PolicyGradientUpdate(loop.terms, config, steps=loop.steps)
    source = RewardSource.of(config)
    loop.run(update, load_reward(workspace.inputs, source, device=loop.device))
    loop.finish()


class PolicyGradientUpdate:
    """The policy with its optimizer, and a baseline where it has a memory."""

    def __init__(self, terms: PolicyTerms, config: CriticFree, *, steps: int) -> None:
        """Prepare the optimizer for ``steps`` rollout batches."""
        self.terms, self.config = terms, config
        self.epochs = 1 if isinstance(config, ReinforceConfig) else config.rollout_epochs
        updates = steps * self.epochs * -(-config.rollouts_per_step // config.batch_size)
        self.policy_learner = Learner(terms.trainable, settings_of(config, updates))
        self.price = KlPrice(config)
        self.baseline: float | None = None
        """Moving average of earlier rewards, None before the first."""

    @property
    def learners(self) -> dict[str, Learner]:
        """The policy alone."""
        return {"policy": self.policy_learner}

    def state(self) -> dict[str, Any]:
        """Return price and baseline."""
        return {"kl_coef": self.price.coef, "baseline": self.baseline}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go back to a price and a baseline."""
        self.price.coef, self.baseline = state["kl_coef"], state["baseline"]

    def prepare(self, batch: Scored) -> Batch:
        """Return log-probabilities and advantages from before the update."""
        rollouts = batch.rollouts
        mask = rollouts.mask.to(self.terms.device)
        logprobs = self.terms.sampled_logprobs(rollouts)
        reference = self.terms.reference_logprobs(rollouts.rows)
        rewards = batch.scores.final
        if not isinstance(self.config, GrpoConfig):  # GRPO's penalty is a term of the loss.
            kl = kl_per_token(logprobs, reference, estimator=self.config.kl_estimator)
            rewards = sequence_rewards(rewards, kl, mask, kl_coef=self.price.coef)
        price = self.price.coef
        silent = without_signal(rollouts.grouped(rewards)).float().mean().item()
        metrics = {
            "kl_coef": price,
            "baseline": float("nan") if self.baseline is None else self.baseline,
            **({"silent_groups": silent} if rollouts.samples_per_prompt > 1 else {}),
            **divergence_metrics(logprobs, reference, mask),
        }
        advantages = self._advantages(rollouts, rewards)
        self.price.adapt(logprobs, reference, mask)
        if self.config.truncated == "mask":
            mask = without_truncated(mask, rollouts.ended.to(mask.device))
        samples = Samples(logprobs, advantages, mask)
        return Batch(batch.step, rollouts.rows, samples, reference, price, metrics)

    def learn(self, prepared: Batch) -> dict[str, float]:
        """Take the passes over the batch, each in an order of its own."""
        metrics, seed = StepMetrics(), self.config.seed
        for epoch in range(self.epochs):
            order = permutation(len(prepared.rows), seed, "minibatches", prepared.step, epoch)
            for indices in chunks(order, self.config.batch_size):
                self._minibatch(prepared, indices, metrics)
        self.terms.note_deviation(metrics.deviation)
        return {
            **prepared.metrics,
            "advantage_std": prepared.samples.advantages.std(correction=0).item(),
            **metrics.means(),
            "ratio_max_deviation": metrics.deviation,
            "trained_tokens": float(prepared.samples.mask.sum()) * self.epochs,
        }

    def _advantages(self, rollouts: Rollouts, rewards: Tensor) -> Tensor:
        """Return one advantage a completion, (B,)."""
        config = self.config
        match config:
            case GrpoConfig():
                grouped = rollouts.grouped(rewards)
                return group_relative_advantages(grouped, scale=config.scale_rewards).flatten()
            case RlooConfig():
                advantages = leave_one_out_advantages(rollouts.grouped(rewards)).flatten()
            case ReinforceConfig(baseline="batch_mean"):
                advantages = batch_mean_advantages(rewards)
            case ReinforceConfig(baseline="moving_average"):
                # The first batch has no past; its own mean stands in for it.
                known = float(rewards.nanmean()) if self.baseline is None else self.baseline
                advantages = torch.where(rewards.isnan(), 0.0, rewards - known)
                self.baseline = moving_average(self.baseline, rewards, decay=config.baseline_decay)
            case _:
                advantages = rewards.nan_to_num(nan=0.0)
        if config.whiten_advantages:
            return whiten(advantages, torch.ones_like(advantages))
        return advantages

    def _minibatch(self, batch: Batch, indices: Sequence[int], metrics: StepMetrics) -> None:
        """Take one optimizer step; none where every completion of it is masked out."""
        totals = self._totals(batch, indices)
        if totals.tokens == 0.0:
            return
        deviations: list[float] = []
        learned = self.policy_learner.update(self._shares(batch, indices, totals, deviations))
        if metrics.steps == 0:
            metrics.deviation = largest(max(deviations))
        learned["policy_loss"] = learned.pop("loss")
        metrics.add(learned)

    def _totals(self, batch: Batch, indices: Sequence[int]) -> StepTotals:
        index = torch.tensor(indices, device=batch.samples.mask.device)
        return StepTotals(
            completions=float(len(indices)),
            tokens=float(batch.samples.mask[index].sum()),
            max_length=float(self.config.max_new_tokens),
        )

    def _shares(
        self, batch: Batch, indices: Sequence[int], totals: StepTotals, deviations: list[float]
    ) -> Iterator[Share]:
        for turn in turns(indices, self.config.micro_batch_size):
            rows = [batch.rows[i] for i in turn.rows]
            logprobs = self.terms.logprobs(rows, grad=True)
            index = torch.tensor(turn.rows, device=logprobs.device)
            width = logprobs.shape[1]
            past = Samples(
                batch.samples.logprobs[index, :width],
                batch.samples.advantages[index],
                batch.samples.mask[index, :width],
            )
            deviations.append(_deviation(logprobs, past))
            reference = batch.reference[index, :width]
            share = self._share(logprobs, past, reference, totals, kl_coef=batch.kl_coef)
            yield share.times(turn.weight)

    def _share(
        self,
        logprobs: Tensor,
        past: Samples,
        reference: Tensor,
        totals: StepTotals,
        *,
        kl_coef: float,
    ) -> Share:
        """Return one micro-batch's part of the loss and its metrics."""
        config = self.config
        match config:
            case GrpoConfig():
                weights = token_weights(past.mask, rule=config.loss_normalization, totals=totals)
                objective = token_clipped_loss(
                    logprobs, past, weights=weights, clip_ratio=config.clip_ratio
                )
                loss, metrics = objective.loss, _clipped(objective, totals.tokens)
                if kl_coef:
                    divergence = kl_loss(
                        logprobs,
                        reference,
                        weights=weights,
                        estimator=config.kl_estimator,
                        sampled=past.logprobs if config.kl_correction else None,
                    )
                    loss = loss + kl_coef * divergence
                    metrics["kl_loss"] = divergence.detach()
                return Share(loss, metrics)
            case RlooConfig(objective="clipped"):
                objective = sequence_clipped_loss(
                    logprobs, past, clip_ratio=config.clip_ratio, total=totals.completions
                )
                return Share(objective.loss, _clipped(objective, totals.completions))
            case _:
                return Share(reinforce_loss(logprobs, past, total=totals.completions), {})


def _clipped(objective: PolicyObjective, actions: float) -> dict[str, Tensor]:
    """Return the share of clipped actions: tokens, or completions."""
    return {"clip_fraction": objective.clipped.sum() / actions}


def _deviation(logprobs: Tensor, past: Samples) -> float:
    """Return the largest distance of a token's ratio from 1, 0 where every token is masked."""
    ratio = ((logprobs.detach() - past.logprobs) * past.mask).exp()
    return float((ratio - 1.0).abs().max())
