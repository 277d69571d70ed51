"""The optimizer steps of one rollout batch: policy and value model, minibatch by minibatch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ablate.algorithms.advantages import whiten
from ablate.algorithms.ppo import Experience, policy_loss, value_loss
from ablate.models.boundary import Row
from ablate.models.logprobs import completion_logprobs, token_values
from ablate.models.ranks import largest
from ablate.spec.stages import PpoConfig
from ablate.training.device import autocast
from ablate.training.experience import Inputs, build_experience
from ablate.training.learner import Learner, Share, settings_of
from ablate.training.order import chunks, turns
from ablate.training.rollouts import logprob_temperature
from ablate.training.streams import permutation
from ablate.training.trainable import Trainable


@dataclass(frozen=True)
class Batch:
    """A scored rollout batch, ready to learn from."""

    step: int
    rows: Sequence[Row]
    inputs: Inputs
    kl_coef: float


@dataclass
class StepMetrics:
    """Means over the optimizer steps of one rollout batch, and the first one's ratio."""

    sums: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    deviation: float = 0.0
    """Largest |ratio - 1| before the first update: pure rounding."""

    def add(self, policy: dict[str, float], value: dict[str, float]) -> None:
        """Add one optimizer step of both models."""
        named = {
            "policy_loss": policy["loss"],
            "clip_fraction": policy["clip_fraction"],
            "grad_norm": policy["grad_norm"],
            "learning_rate": policy["learning_rate"],
            "value_loss": value["value_loss"],
            "value_grad_norm": value["grad_norm"],
            "value_learning_rate": value["learning_rate"],
        }
        self.sums = {name: self.sums.get(name, 0.0) + x for name, x in named.items()}
        self.steps += 1

    def means(self) -> dict[str, float]:
        """Return the mean of everything that was added."""
        return {name: x / self.steps for name, x in self.sums.items()}


class PpoUpdate:
    """Policy and value model with an optimizer each."""

    def __init__(
        self, policy: Trainable, value: Trainable, config: PpoConfig, *, steps: int, device: str
    ) -> None:
        """Prepare optimizers for ``steps`` rollout batches."""
        self.policy, self.value, self.config, self.device = policy, value, config, device
        self.temperature = logprob_temperature(config)
        updates = steps * config.ppo_epochs * -(-config.rollouts_per_step // config.batch_size)
        self.policy_learner = Learner(policy, settings_of(config, updates))
        self.value_learner = Learner(
            value, settings_of(config, updates, peak=config.value_learning_rate)
        )

    def logprobs(self, rows: Sequence[Row], *, grad: bool = False) -> Tensor:
        """Return the policy's log-probabilities of completion tokens, (B, T)."""
        with autocast(self.device):
            return completion_logprobs(
                self.policy.model,
                rows,
                temperature=self.temperature,
                grad=grad,
                micro_batch=None if grad else self.config.micro_batch_size,
            ).logprobs

    def values(self, rows: Sequence[Row], *, grad: bool = False) -> Tensor:
        """Return the value of the state before each completion token, (B, T)."""
        limit = None if grad else self.config.micro_batch_size
        with autocast(self.device):
            return token_values(self.value.model, rows, grad=grad, micro_batch=limit)

    def learn(self, batch: Batch) -> StepMetrics:
        """Take ``ppo_epochs`` passes over the batch, each in an order of its own."""
        metrics = StepMetrics()
        config = self.config
        whole = None
        if not config.recompute_old:
            whole = self._experience(batch.inputs, batch, config.whiten_advantages == "batch")
        for epoch in range(config.ppo_epochs):
            order = permutation(len(batch.rows), config.seed, "minibatches", batch.step, epoch)
            for indices in chunks(order, config.batch_size):
                old = self._recomputed(batch, indices) if whole is None else part(whole, indices)
                if config.whiten_advantages == "minibatch":
                    old = old._replace(advantages=whiten(old.advantages, old.mask))
                self._minibatch([batch.rows[i] for i in indices], old, metrics)
        return metrics

    def _experience(self, inputs: Inputs, batch: Batch, whitened: bool) -> Experience:
        return build_experience(inputs, self.config, kl_coef=batch.kl_coef, whitened=whitened)

    def _recomputed(self, batch: Batch, indices: Sequence[int]) -> Experience:
        """Return a minibatch's experience under the current weights, which makes the ratio 1.

        Whitening over the whole batch is then impossible and happens over the minibatch.
        """
        rows = [batch.rows[i] for i in indices]
        logprobs = self.logprobs(rows)
        index = torch.tensor(indices, device=logprobs.device)
        width = logprobs.shape[1]
        inputs = Inputs(
            logprobs=logprobs,
            values=self.values(rows),
            reference=batch.inputs.reference[index, :width],
            final=batch.inputs.final[index],
            mask=batch.inputs.mask[index, :width],
        )
        return self._experience(inputs, batch, self.config.whiten_advantages == "batch")

    def _minibatch(self, rows: Sequence[Row], old: Experience, metrics: StepMetrics) -> None:
        """Take one optimizer step of each model."""
        total = float(old.mask.sum())
        deviations: list[Tensor] = []
        policy = self.policy_learner.update(self._policy_shares(rows, old, total, deviations))
        if metrics.steps == 0:
            metrics.deviation = largest(max(deviation.item() for deviation in deviations))
        value = self.value_learner.update(self._value_shares(rows, old, total))
        metrics.add(policy, value)

    def _policy_shares(
        self, rows: Sequence[Row], old: Experience, total: float, deviations: list[Tensor]
    ) -> Iterator[Share]:
        for micro, past, weight in self._micro_batches(rows, old):
            objective = policy_loss(
                self.logprobs(micro, grad=True),
                past,
                clip_ratio=self.config.clip_ratio,
                total_tokens=total,
            )
            deviations.append((objective.ratio - 1.0).abs().max())
            clipped = {"clip_fraction": objective.clipped.sum() / total}
            yield Share(objective.loss, clipped).times(weight)

    def _value_shares(self, rows: Sequence[Row], old: Experience, total: float) -> Iterator[Share]:
        for micro, past, weight in self._micro_batches(rows, old):
            loss = value_loss(
                self.values(micro, grad=True),
                past,
                clip=self.config.value_clip,
                total_tokens=total,
            )
            share = Share(self.config.value_coef * loss, {"value_loss": loss.detach()})
            yield share.times(weight)

    def _micro_batches(
        self, rows: Sequence[Row], old: Experience
    ) -> Iterator[tuple[list[Row], Experience, float]]:
        for turn in turns(range(len(rows)), self.config.micro_batch_size):
            yield [rows[i] for i in turn.rows], part(old, turn.rows), turn.weight


def part(experience: Experience, rows: Sequence[int]) -> Experience:
    """Return some rows, cut to their own longest completion."""
    index = torch.tensor(rows, device=experience.mask.device)
    width = int(experience.mask[index].sum(dim=1).max())
    return Experience(*(column[index, :width] for column in experience))
