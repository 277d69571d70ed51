"""The optimizer steps of one rollout batch: policy and value model, minibatch by minibatch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ablate.algorithms.advantages import whiten
from ablate.algorithms.ppo import Experience, policy_loss, value_loss
from ablate.algorithms.token_rewards import without_truncated
from ablate.models.boundary import Row
from ablate.models.logprobs import completion_scores, logprobs_and_values, token_values
from ablate.models.ranks import largest
from ablate.spec.stages import PpoConfig
from ablate.training.device import autocast
from ablate.training.experience import Inputs, build_experience
from ablate.training.kl_price import KlPrice, divergence_metrics
from ablate.training.learner import Learner, Share, settings_of
from ablate.training.online import Scored
from ablate.training.order import chunks, turns
from ablate.training.policy_terms import PolicyTerms
from ablate.training.step_metrics import StepMetrics
from ablate.training.streams import permutation
from ablate.training.trainable import Trainable


@dataclass(frozen=True)
class Batch:
    """A scored rollout batch, ready to learn from."""

    step: int
    rows: Sequence[Row]
    inputs: Inputs
    sampled: Tensor  # (B, T), 1 on all completion tokens, also those that no loss sees
    kl_coef: float


class PpoUpdate:
    """Policy and value model, with an optimizer each unless the value is a head on the policy."""

    def __init__(
        self, terms: PolicyTerms, value: Trainable | None, config: PpoConfig, *, steps: int
    ) -> None:
        """Prepare optimizers for ``steps`` rollout batches; None shares the policy's body."""
        self.terms, self.config, self.device = terms, config, terms.device
        self.value = value or terms.trainable
        updates = steps * config.ppo_epochs * -(-config.rollouts_per_step // config.batch_size)
        self.policy_learner = Learner(terms.trainable, settings_of(config, updates))
        self.value_learner = self.policy_learner
        if value is not None:
            self.value_learner = Learner(
                value, settings_of(config, updates, peak=config.value_learning_rate)
            )
        self.price = KlPrice(config)

    @property
    def learners(self) -> dict[str, Learner]:
        """Policy and value model; the policy alone where they share a body."""
        if self.shared:
            return {"policy": self.policy_learner}
        return {"policy": self.policy_learner, "value": self.value_learner}

    @property
    def shared(self) -> bool:
        """Whether the value is a head on the policy."""
        return self.value_learner is self.policy_learner

    def state(self) -> dict[str, Any]:
        """Return the price of divergence."""
        return {"kl_coef": self.price.coef}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go back to a price."""
        self.price.coef = state["kl_coef"]

    def values(self, rows: Sequence[Row], *, grad: bool = False) -> Tensor:
        """Return the value of the state before each completion token, (B, T)."""
        limit = None if grad else self.config.micro_batch_size
        with autocast(self.device):
            return token_values(self.value.model, rows, grad=grad, micro_batch=limit)

    def prepare(self, batch: Scored) -> Batch:
        """Return old log-probabilities, the reference's and values, from before the update."""
        rollouts, scores = batch.rollouts, batch.scores
        mask = rollouts.mask.to(self.device)
        # Where minibatches recompute them, old values and log-probabilities are not used.
        recomputed = self.config.recompute_old
        logprobs = (
            rollouts.logprobs.to(self.device)
            if recomputed
            else self.terms.sampled_logprobs(rollouts)
        )
        inputs = Inputs(
            logprobs=logprobs,
            reference=self.terms.reference_logprobs(rollouts.rows),
            values=torch.zeros_like(mask) if recomputed else self.values(rollouts.rows),
            final=scores.final,
            mask=mask,
        )
        ended = rollouts.ended.to(self.device)
        if self.config.truncated == "mask":
            inputs = replace(inputs, mask=without_truncated(mask, ended))
        elif self.config.truncated == "bootstrap":
            inputs = self._bootstrapped(inputs, rollouts.rows, ended)
        return Batch(batch.step, rollouts.rows, inputs, mask, self.price.coef)

    def learn(self, prepared: Batch) -> dict[str, float]:
        """Take ``ppo_epochs`` passes over the batch, each in an order of its own."""
        metrics, config, inputs = StepMetrics(), self.config, prepared.inputs
        count = len(prepared.rows)
        whole = None
        if not config.recompute_old:
            whole = self._experience(inputs, prepared, config.whiten_advantages == "batch")
        for epoch in range(config.ppo_epochs):
            order = permutation(count, config.seed, "minibatches", prepared.step, epoch)
            for indices in chunks(order, config.batch_size):
                old = self._past(prepared, whole, indices)
                self._minibatch([prepared.rows[i] for i in indices], old, metrics)
        self.terms.note_deviation(metrics.deviation)
        self.price.adapt(inputs.logprobs, inputs.reference, prepared.sampled)
        return {
            "kl_coef": prepared.kl_coef,
            **divergence_metrics(inputs.logprobs, inputs.reference, prepared.sampled),
            **metrics.means(),
            "ratio_max_deviation": metrics.deviation,
            "trained_tokens": float(inputs.mask.sum()) * config.ppo_epochs,
        }

    def _past(self, batch: Batch, whole: Experience | None, indices: Sequence[int]) -> Experience:
        """Return a minibatch's experience, from before the update or under the current weights."""
        if whole is None:
            past = self._recomputed(batch, indices)
        else:
            past = part(whole, indices, batch.rows)
        if self.config.whiten_advantages == "minibatch":
            past = past._replace(advantages=whiten(past.advantages, past.mask))
        return past

    def _bootstrapped(self, inputs: Inputs, rows: Sequence[Row], ended: Tensor) -> Inputs:
        """Let a cut completion earn what its last state is worth, and no score."""
        with autocast(self.device):
            worth = completion_scores(
                self.value.model, rows, micro_batch=self.config.micro_batch_size
            )
        nothing = torch.zeros_like(worth)
        return replace(
            inputs,
            bootstrap=torch.where(ended, nothing, worth),
            final=torch.where(ended, inputs.final, nothing),
        )

    def _experience(self, inputs: Inputs, batch: Batch, whitened: bool) -> Experience:
        return build_experience(inputs, self.config, kl_coef=batch.kl_coef, whitened=whitened)

    def _recomputed(self, batch: Batch, indices: Sequence[int]) -> Experience:
        """Return a minibatch's experience under the current weights, which makes the ratio 1.

        Whitening over the whole batch is then impossible and happens over the minibatch.
        """
        rows = [batch.rows[i] for i in indices]
        logprobs = self.terms.logprobs(rows)
        index = torch.tensor(indices, device=logprobs.device)
        width = logprobs.shape[1]
        past = batch.inputs
        inputs = Inputs(
            logprobs=logprobs,
            values=self.values(rows),
            reference=past.reference[index, :width],
            final=past.final[index],
            mask=past.mask[index, :width],
            bootstrap=None if past.bootstrap is None else past.bootstrap[index],
        )
        return self._experience(inputs, batch, self.config.whiten_advantages == "batch")

    def _minibatch(self, rows: Sequence[Row], old: Experience, metrics: StepMetrics) -> None:
        """Take one optimizer step of each model; none where every completion is masked out."""
        total = float(old.mask.sum())
        if total == 0.0:
            return
        deviations: list[float] = []
        policy = self.policy_learner.update(self._policy_shares(rows, old, total, deviations))
        if metrics.steps == 0:
            metrics.deviation = largest(max(deviations))
        value = policy
        if not self.shared:
            value = self.value_learner.update(self._value_shares(rows, old, total))
        metrics.add(
            {
                "policy_loss": policy["policy_loss"],
                "clip_fraction": policy["clip_fraction"],
                "grad_norm": policy["grad_norm"],
                "learning_rate": policy["learning_rate"],
                "value_loss": value["value_loss"],
                "value_grad_norm": value["grad_norm"],
                "value_learning_rate": value["learning_rate"],
            }
        )

    def _policy_shares(
        self, rows: Sequence[Row], old: Experience, total: float, deviations: list[float]
    ) -> Iterator[Share]:
        for turn in turns(range(len(rows)), self.config.micro_batch_size):
            micro, past = [rows[i] for i in turn.rows], part(old, turn.rows, rows)
            logprobs, values = self._forward(micro)
            objective = policy_loss(
                logprobs,
                past,
                clip_ratio=self.config.clip_ratio,
                total_tokens=total,
            )
            deviations.append((objective.ratio - 1.0).abs().max().item())
            metrics = {
                "policy_loss": objective.loss.detach(),
                "clip_fraction": objective.clipped.sum() / total,
            }
            share = Share(objective.loss, metrics)
            if values is not None:
                value = self._value_share(values, past, total)
                share = Share(share.loss + value.loss, {**metrics, **value.metrics})
            yield share.times(turn.weight)

    def _forward(self, rows: Sequence[Row]) -> tuple[Tensor, Tensor | None]:
        """Return log-probabilities, and values too where the policy's own body computes them."""
        if not self.shared:
            return self.terms.logprobs(rows, grad=True), None
        with autocast(self.device):
            return logprobs_and_values(
                self.terms.model, rows, temperature=self.terms.temperature, grad=True
            )

    def _value_shares(self, rows: Sequence[Row], old: Experience, total: float) -> Iterator[Share]:
        for turn in turns(range(len(rows)), self.config.micro_batch_size):
            values = self.values([rows[i] for i in turn.rows], grad=True)
            share = self._value_share(values, part(old, turn.rows, rows), total)
            yield share.times(turn.weight)

    def _value_share(self, values: Tensor, past: Experience, total: float) -> Share:
        loss = value_loss(values, past, clip=self.config.value_clip, total_tokens=total)
        return Share(self.config.value_coef * loss, {"value_loss": loss.detach()})


def part(experience: Experience, indices: Sequence[int], rows: Sequence[Row]) -> Experience:
    """Return the experience of some rows, cut to their own longest completion.

    By the rows and not by the mask, which leaves out whole completions under ``truncated: mask``.
    """
    index = torch.tensor(indices, device=experience.mask.device)
    width = max(len(rows[i].completion) for i in indices)
    return Experience(*(column[index, :width] for column in experience))
