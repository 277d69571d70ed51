"""The loop of every algorithm that samples: roll out, score, update, log, until it is spent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ablate.models.loading import load_policy, save_model
from ablate.models.ranks import largest
from ablate.rewards.responses import RewardFunction
from ablate.spec.online import OnlineConfig
from ablate.store.workspace import Workspace
from ablate.training.device import autocast, pick_device, record_numerics
from ablate.training.divergence import Divergence
from ablate.training.experience import Scores, score
from ablate.training.keeping import Keeper
from ablate.training.learner import Learner
from ablate.training.loop import write_summary
from ablate.training.policy_terms import PolicyTerms
from ablate.training.rollouts import Rollouts, read_prompts

STEP_TIMINGS = "timings.jsonl"
"""Seconds of every step, beside the checkpoints and outside the artifact."""
SPENT = ("preferences", "generated_tokens", "reward_calls")
"""Counts that every line of metrics carries, so that methods can be drawn at equal cost."""


@dataclass(frozen=True)
class Scored:
    """A rollout batch and what it earned, before anything is learned from it."""

    step: int
    rollouts: Rollouts
    scores: Scores


class Update(Protocol):
    """What an algorithm makes of a scored rollout batch."""

    @property
    def learners(self) -> Mapping[str, Learner]:
        """Everything that is trained, by name."""

    def prepare(self, batch: Scored) -> Any:
        """Return what `learn` needs, from before the weights change."""

    def learn(self, prepared: Any) -> dict[str, float]:
        """Take the optimizer steps of one batch; return metrics."""

    def state(self) -> dict[str, Any]:
        """Return what an exact resume needs beside the learners: plain values and tensors."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go back to a state."""


class OnlineLoop:
    """Prompts, policy, reward and update, and what changes from step to step."""

    def __init__(
        self,
        workspace: Workspace,
        config: OnlineConfig,
        *,
        prepare: Callable[[Any], None] | None = None,
    ) -> None:
        """Load the policy, its reference and the prompts; nothing is sampled yet.

        ``prepare`` may change the loaded model before its weights are opened to training.
        """
        self.workspace, self.config, self.device = workspace, config, pick_device()
        loaded = load_policy(workspace.inputs["policy"] / "model", device=self.device)
        if prepare is not None:
            prepare(loaded.model)
        self.boundary, self.tokenizer = loaded.boundary, loaded.tokenizer
        self.terms = PolicyTerms(workspace, loaded, config, device=self.device)
        self.prompts = read_prompts(workspace, config, self.boundary)
        per_step = config.rollouts_per_step // config.samples_per_prompt
        per_pass = max(len(self.prompts.prompts) // per_step, 1)
        self.steps = config.steps or config.epochs * per_pass
        """Rollout batches of the whole stage, unless a budget ends it."""
        self.step = 0
        number = 0 if config.budget is not None else config.checkpoints
        self._keeper = Keeper(workspace, loaded.tokenizer, number=number, steps=self.steps)
        self.first_step = 0
        """Number of the first step in the metrics, where other training came before."""

    def run(self, update: Update, reward: RewardFunction) -> None:
        """Take every step that is left."""
        record_numerics(self.workspace, self.device, self.config.micro_batch_size)
        self._resume(update)
        self._divergence = Divergence(self.workspace)
        every = self.config.checkpoint_every_steps
        policy = update.learners["policy"]
        while not self._finished():
            updates = policy.step
            self._take_step(update, reward)
            self.step += 1
            self._keeper.after(self.step, self.terms.model)
            if policy.step // every > updates // every and not self._finished():
                self.workspace.save_checkpoint(self._state(update))
            self._report()
        trusted = "sampler" if self.terms.trust_sampler else "recomputed"
        self.workspace.numerics["old_logprobs"] = trusted

    def finish(self, **more: Any) -> None:
        """Write the policy and the stage's totals."""
        save_model(self.terms.model, self.tokenizer, self.workspace.output / "model")
        self._keeper.finish()
        write_summary(
            self.workspace,
            prompts=len(self.prompts.prompts),
            dropped_long=int(self.workspace.counts["dropped_long"]),
            steps=self.step,
            rollouts=self.step * self.config.rollouts_per_step,
            **more,
        )

    def spent(self) -> float | None:
        """Return the share of the budget that is spent, None where steps end the stage.

        A budget of preferences limits what is bought, and no steps.
        """
        budget = self.config.budget
        if budget is None or budget.unit == "preferences":
            return None
        if budget.unit == "seconds":
            # Ranks that disagree on the end would wait for each other.
            return largest(sum(self.workspace.timings.values())) / budget.amount
        return self.workspace.counts.get(budget.unit, 0.0) / budget.amount

    def _finished(self) -> bool:
        spent = self.spent()
        return self.step >= self.steps if spent is None else spent >= 1.0

    def _take_step(self, update: Update, reward: RewardFunction) -> None:
        """Roll out, score, update, log."""
        before, calls = dict(self.workspace.timings), reward.calls
        for learner in update.learners.values():
            learner.spent = self.spent()
        with self.workspace.timed("rollout"), autocast(self.device):
            rollouts = self.prompts.collect(
                self.terms.model, self.boundary, self.config, step=self.step
            )
        with self.workspace.timed("scoring"):
            with autocast(self.device):
                scores = score(rollouts, reward, self.config)
            prepared = update.prepare(Scored(self.step, rollouts, scores))
        with self.workspace.timed("update"):
            learned = update.learn(prepared)
        self.workspace.count(
            generated_tokens=rollouts.tokens,
            reward_calls=reward.calls - calls,
            trained_tokens=learned.get("trained_tokens", 0.0),
        )
        step = self.first_step + self.step
        metrics = {**sampled_metrics(rollouts, scores), **learned}
        self.workspace.log_metrics(step, {**metrics, **self._used()})
        self._divergence.look(step, metrics)
        self._log_timings(before)

    def _used(self) -> dict[str, float]:
        return {f"used_{name}": self.workspace.counts.get(name, 0.0) for name in SPENT}

    def _report(self) -> None:
        spent = self.spent()
        if spent is None:
            self.workspace.progress(self.step, self.steps)
        else:
            self.workspace.progress(min(int(1000 * spent), 1000), 1000)

    def _log_timings(self, before: Mapping[str, float]) -> None:
        spent = {name: now - before.get(name, 0.0) for name, now in self.workspace.timings.items()}
        with open(self.workspace.scratch / STEP_TIMINGS, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.step, **spent}) + "\n")

    def _state(self, update: Update) -> dict[str, Any]:
        return {
            "step": self.step,
            "trust_sampler": self.terms.trust_sampler,
            "learners": {name: learner.state() for name, learner in update.learners.items()},
            "update": update.state(),
        }

    def _resume(self, update: Update) -> None:
        state = self.workspace.load_checkpoint()
        if state is None or "learners" not in state:  # Of what was trained before the loop.
            return
        self.step, self.terms.trust_sampler = state["step"], state["trust_sampler"]
        for name, learner in update.learners.items():
            learner.load_state(state["learners"][name])
        update.load_state(state["update"])


def sampled_metrics(rollouts: Rollouts, scores: Scores) -> dict[str, float]:
    """Return what a rollout batch says of the policy that sampled it, padding left out."""
    metrics = {
        "reward_raw": scores.raw.mean().item(),
        "reward_normalized": scores.normalized.mean().item(),
        "reward_final": scores.final.mean().item(),
        "length_tokens": rollouts.tokens / len(rollouts.rows),
        "ended_fraction": rollouts.ended.float().mean().item(),
    }
    if scores.gold is not None:
        metrics["gold"] = scores.gold
    return metrics
