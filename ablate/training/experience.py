"""From rollouts to what a PPO update learns from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ablate.algorithms.advantages import gae, whiten
from ablate.algorithms.kl import kl_per_token
from ablate.algorithms.ppo import Experience
from ablate.algorithms.token_rewards import end_rule, token_rewards
from ablate.data.gold import gold_scorer
from ablate.rewards.responses import RewardFunction
from ablate.spec.stages import PpoConfig
from ablate.training.rollouts import Rollouts, SamplingConfig


@dataclass(frozen=True)
class Scores:
    """What each of B completions earned, all (B,)."""

    raw: Tensor
    normalized: Tensor
    final: Tensor
    """The normalized score after the end rule; what reinforcement learning sees."""
    gold: float | None
    """Mean gold reward; None where no prompt has one."""


def score(rollouts: Rollouts, reward: RewardFunction, config: SamplingConfig) -> Scores:
    """Score the completions as text."""
    raw = reward.score(rollouts.responses).float()
    normalized = reward.normalized(raw)
    final = end_rule(
        normalized,
        rollouts.ended.to(raw.device),
        rule=config.missing_eos,
        penalty=config.missing_eos_score,
    )
    return Scores(raw, normalized, final, mean_gold(rollouts))


def mean_gold(rollouts: Rollouts) -> float | None:
    """Return the mean gold reward of the completions that have one, or None."""
    rewards = [
        judge(response.messages, response.text, response.ended).reward
        for response, world in zip(rollouts.responses, rollouts.worlds, strict=True)
        if (judge := gold_scorer(world)) is not None
    ]
    return sum(rewards) / len(rewards) if rewards else None


@dataclass(frozen=True)
class Inputs:
    """What advantages follow from; each (B, T) but for the final scores, (B,)."""

    logprobs: Tensor
    reference: Tensor
    values: Tensor
    final: Tensor
    mask: Tensor
    bootstrap: Tensor | None = None  # (B,) what the state after a cut completion is worth, else 0


def build_experience(
    inputs: Inputs, config: PpoConfig, *, kl_coef: float, whitened: bool
) -> Experience:
    """Return old log-probabilities, values, advantages and returns, each (B, T).

    Returns are advantages plus values from before any whitening of the advantages.
    """
    kl = kl_per_token(inputs.logprobs, inputs.reference, estimator=config.kl_estimator)
    rewards = token_rewards(inputs.final, kl, inputs.mask, kl_coef=kl_coef)
    if config.whiten_rewards:
        rewards = whiten(rewards, inputs.mask, shift_mean=False)
    estimate = gae(
        rewards,
        inputs.values,
        inputs.mask,
        gamma=config.gamma,
        lam=config.gae_lambda,
        bootstrap=inputs.bootstrap,
    )
    advantages = whiten(estimate.advantages, inputs.mask) if whitened else estimate.advantages
    return Experience(inputs.logprobs, inputs.values, advantages, estimate.returns, inputs.mask)
