"""Proximal policy optimization with a separate value model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ablate.algorithms.advantages import masked_mean
from ablate.algorithms.kl import adapted_kl_coef, kl_per_token
from ablate.models.boundary import Row
from ablate.models.loading import load_policy, save_model
from ablate.models.logprobs import completion_logprobs
from ablate.models.lora import without_adapters
from ablate.rewards.reward_model import RewardModel
from ablate.spec.stages import PpoConfig
from ablate.store.workspace import Workspace
from ablate.training.device import autocast, pick_device, record_numerics
from ablate.training.experience import Inputs, Scores, score
from ablate.training.loop import write_summary
from ablate.training.ppo_update import Batch, PpoUpdate
from ablate.training.rollouts import Rollouts, logprob_temperature, read_prompts
from ablate.training.trainable import Trainable
from ablate.training.value_model import load_value_model

RATIO_TOLERANCE = 1e-5
"""Before the first update of a rollout batch the ratio is 1 up to this much rounding."""
STEP_TIMINGS = "timings.jsonl"
"""Seconds of every step, beside the checkpoints and outside the artifact."""


def run_ppo(workspace: Workspace, config: PpoConfig) -> None:
    """Train the ``policy`` input against the ``reward_model`` input; write policy and metrics."""
    loop = PpoLoop(workspace, config)
    loop.run()
    save_model(loop.update.policy.model, loop.tokenizer, workspace.output / "model")
    write_summary(
        workspace,
        prompts=len(loop.prompts.prompts),
        dropped_long=int(workspace.counts["dropped_long"]),
        steps=loop.steps,
        rollouts=loop.steps * config.rollouts_per_step,
    )


class PpoLoop:
    """Policy, reference, reward and value model, and what changes from step to step."""

    def __init__(self, workspace: Workspace, config: PpoConfig) -> None:
        """Load the models and prompts; nothing is sampled yet."""
        self.workspace, self.config, self.device = workspace, config, pick_device()
        folder = workspace.inputs["policy"] / "model"
        loaded = load_policy(folder, device=self.device)
        self.boundary, self.tokenizer = loaded.boundary, loaded.tokenizer
        self.reference: nn.Module | None = None
        """Frozen; None where it is the policy without its adapter."""
        if config.lora is None:
            self.reference = load_policy(folder, device=self.device).model.requires_grad_(False)
        self.reward = RewardModel(workspace.inputs["reward_model"], device=self.device)
        self.prompts = read_prompts(workspace, config, self.boundary)
        per_pass = max(len(self.prompts.prompts) // config.rollouts_per_step, 1)
        self.steps = config.steps or config.epochs * per_pass
        """Rollout batches of the whole stage."""
        policy = Trainable(loaded, config.lora, seed=config.seed)
        value = load_value_model(workspace.inputs, config, self.boundary, device=self.device)
        self.update = PpoUpdate(policy, value, config, steps=self.steps, device=self.device)
        self.step = 0
        self.kl_coef = config.kl_coef
        self.trust_sampler = self.device == "cpu"
        """Whether the sampler's log-probabilities are the training forward's but for rounding."""

    def run(self) -> None:
        """Take every step that is left."""
        record_numerics(self.workspace, self.device, self.config.micro_batch_size)
        self._resume()
        every = self.config.checkpoint_every_steps
        while self.step < self.steps:
            updates = self.update.policy_learner.step
            self._take_step()
            self.step += 1
            due = self.update.policy_learner.step // every > updates // every
            if due and self.step < self.steps:
                self.workspace.save_checkpoint(self._state())
            self.workspace.progress(self.step, self.steps)
        trusted = "sampler" if self.trust_sampler else "recomputed"
        self.workspace.numerics["old_logprobs"] = trusted

    def _take_step(self) -> None:
        """Roll out, score, update, log."""
        before = dict(self.workspace.timings)
        with self.workspace.timed("rollout"), autocast(self.device):
            model = self.update.policy.model
            rollouts = self.prompts.collect(model, self.boundary, self.config, step=self.step)
        with self.workspace.timed("scoring"):
            with autocast(self.device):
                scores = score(rollouts, self.reward, self.config)
            batch = Batch(self.step, rollouts.rows, self._inputs(rollouts, scores), self.kl_coef)
        with self.workspace.timed("update"):
            learned = self.update.learn(batch)
        self._count(rollouts)
        self.workspace.log_metrics(
            self.step,
            {
                **self._rollout_metrics(rollouts, scores, batch.inputs),
                **learned.means(),
                "ratio_max_deviation": learned.deviation,
            },
        )
        self._adapt(batch.inputs)
        if learned.deviation > RATIO_TOLERANCE:
            self.trust_sampler = False
        self._log_timings(before)

    def _inputs(self, rollouts: Rollouts, scores: Scores) -> Inputs:
        """Return old log-probabilities, the reference's and values, from before the update."""
        logprobs = rollouts.logprobs.to(self.device)
        if not self.trust_sampler and not self.config.recompute_old:
            logprobs = self.update.logprobs(rollouts.rows)
        return Inputs(
            logprobs=logprobs,
            reference=self._reference_logprobs(rollouts.rows),
            values=self._old_values(rollouts.rows, logprobs),
            final=scores.final,
            mask=rollouts.mask.to(self.device),
        )

    def _old_values(self, rows: list[Row], like: Tensor) -> Tensor:
        """Return the values before the update; unused, so zero, where minibatches recompute."""
        return torch.zeros_like(like) if self.config.recompute_old else self.update.values(rows)

    def _reference_logprobs(self, rows: list[Row]) -> Tensor:
        kwargs: dict[str, Any] = {
            "temperature": logprob_temperature(self.config),
            "grad": False,
            "micro_batch": self.config.micro_batch_size,
        }
        with autocast(self.device):
            if self.reference is not None:
                return completion_logprobs(self.reference, rows, **kwargs).logprobs
            with without_adapters(self.update.policy.model) as reference:
                return completion_logprobs(reference, rows, **kwargs).logprobs

    def _rollout_metrics(
        self, rollouts: Rollouts, scores: Scores, inputs: Inputs
    ) -> dict[str, float]:
        """Return what the rollout batch says of the policy that sampled it, padding left out."""
        metrics = {
            "reward_raw": scores.raw.mean().item(),
            "reward_normalized": scores.normalized.mean().item(),
            "reward_final": scores.final.mean().item(),
            "kl_coef": self.kl_coef,
            # The mean surprise of sampled tokens: the entropy where logits are divided alike in
            # sampling and scoring, else a cross-entropy.
            "entropy": -masked_mean(inputs.logprobs, inputs.mask).item(),
            "length_tokens": rollouts.tokens / len(rollouts.rows),
            "ended_fraction": rollouts.ended.float().mean().item(),
        }
        for estimator, suffix in (("k1", ""), ("k3", "_k3")):
            kl = self._kl(inputs, estimator)
            metrics["kl_per_sequence" + suffix] = kl.sum(dim=1).mean().item()
            metrics["kl_per_token" + suffix] = masked_mean(kl, inputs.mask).item()
        if scores.gold is not None:
            metrics["gold"] = scores.gold
        return metrics

    def _kl(self, inputs: Inputs, estimator: Any) -> Tensor:
        kl = kl_per_token(inputs.logprobs, inputs.reference, estimator=estimator)
        return kl * inputs.mask

    def _adapt(self, inputs: Inputs) -> None:
        """Move the price of divergence towards its target, where there is one."""
        config = self.config
        if config.kl_target is not None:
            self.kl_coef = adapted_kl_coef(
                self.kl_coef,
                self._kl(inputs, "k1").sum(dim=1).mean().item(),
                target=config.kl_target,
                rollouts=config.rollouts_per_step,
                horizon=config.kl_horizon,
            )

    def _count(self, rollouts: Rollouts) -> None:
        self.workspace.count(
            generated_tokens=rollouts.tokens,
            reward_calls=len(rollouts.rows),
            trained_tokens=rollouts.tokens * self.config.ppo_epochs,
        )

    def _log_timings(self, before: Mapping[str, float]) -> None:
        spent = {name: now - before.get(name, 0.0) for name, now in self.workspace.timings.items()}
        with open(self.workspace.scratch / STEP_TIMINGS, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.step, **spent}) + "\n")

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "kl_coef": self.kl_coef,
            "trust_sampler": self.trust_sampler,
            "policy": self.update.policy_learner.state(),
            "value": self.update.value_learner.state(),
        }

    def _resume(self) -> None:
        if (state := self.workspace.load_checkpoint()) is None:
            return
        self.step, self.kl_coef = state["step"], state["kl_coef"]
        self.trust_sampler = state["trust_sampler"]
        self.update.policy_learner.load_state(state["policy"])
        self.update.value_learner.load_state(state["value"])
