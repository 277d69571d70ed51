"""What each algorithm makes of a pair's log-probabilities: one row of a table for every one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ablate.algorithms.dpo import PairLogprobs, PairRewards, dpo_loss, implicit_rewards
from ablate.algorithms.pairwise import (
    hinge_loss,
    ipo_loss,
    no_reference,
    offset_dpo_loss,
    orpo_loss,
    per_token,
    robust_dpo_loss,
    score_gap_offset,
    simpo_loss,
)
from ablate.spec.offline import (
    CdpoConfig,
    DpoConfig,
    DpoMarginConfig,
    DpoNormConfig,
    DpoReferenceFreeConfig,
    HingeConfig,
    IpoConfig,
    OfflineConfig,
    OrpoConfig,
    RobustDpoConfig,
    SftChosenConfig,
    SimpoConfig,
)


class StepTotals(NamedTuple):
    """Denominators of an optimizer step, whatever its micro-batches are."""

    pairs: int
    chosen_tokens: int
    """Completion tokens of the chosen sides."""


class PairFacts(NamedTuple):
    """What a loss may use beside the rewards of some pairs."""

    step: StepTotals
    gap: Tensor | None
    """How much better the labeller found the chosen reply, (B,); None where no loss asks."""


@dataclass(frozen=True)
class Rule:
    """How an algorithm gets from log-probabilities to losses."""

    loss: Callable[[PairRewards, PairFacts, Any], Tensor]
    """Rewards, facts and configuration to one loss a pair, (B,)."""
    means: bool = False
    """Whether rewards are made of means over a completion's tokens, not of sums."""
    scaled: bool = True
    """Whether rewards are log-ratios times ``beta``, or the bare log-ratios."""
    learns_rejected: bool = True
    """Whether the rejected completion has a part in the loss."""


def _offset(rewards: PairRewards, facts: PairFacts, config: DpoMarginConfig) -> Tensor:
    offset: Tensor | float = config.margin
    if facts.gap is not None:
        offset = score_gap_offset(facts.gap, torch.zeros_like(facts.gap), scale=config.margin)
    return offset_dpo_loss(rewards, offset=offset)


def _imitation(rewards: PairRewards, facts: PairFacts, _: SftChosenConfig) -> Tensor:
    """Return losses whose mean over the step's pairs is the NLL of a chosen token of the step."""
    return -rewards.chosen * (facts.step.pairs / facts.step.chosen_tokens)


RULES: Mapping[type[OfflineConfig], Rule] = {
    DpoConfig: Rule(lambda r, _, c: dpo_loss(r, label_smoothing=c.label_smoothing)),
    CdpoConfig: Rule(lambda r, _, c: dpo_loss(r, label_smoothing=c.label_smoothing)),
    RobustDpoConfig: Rule(lambda r, _, c: robust_dpo_loss(r, label_smoothing=c.label_smoothing)),
    IpoConfig: Rule(lambda r, _, c: ipo_loss(r, beta=c.beta), means=True),
    HingeConfig: Rule(lambda r, _, c: hinge_loss(r)),
    DpoNormConfig: Rule(lambda r, _, c: dpo_loss(r), means=True),
    DpoMarginConfig: Rule(_offset),
    DpoReferenceFreeConfig: Rule(lambda r, _, c: dpo_loss(r)),
    SimpoConfig: Rule(
        lambda r, _, c: simpo_loss(r, beta=c.beta, gamma_beta_ratio=c.gamma_beta_ratio),
        means=True,
    ),
    OrpoConfig: Rule(
        lambda r, _, c: orpo_loss(PairLogprobs(*r), beta=c.beta), means=True, scaled=False
    ),
    SftChosenConfig: Rule(_imitation, scaled=False, learns_rejected=False),
}
"""By the class of the configuration; whether there is a reference is ``reads_reference`` of it."""


def pair_rewards(
    policy: PairLogprobs,
    reference: PairLogprobs | None,
    lengths: PairLogprobs,
    *,
    config: Any,
) -> PairRewards:
    """Return the rewards that an algorithm's loss and metrics are made of.

    ``policy`` and ``reference`` are sums over completion tokens, ``lengths`` their numbers. The
    reference's means divide by the same lengths, so that sums are all that need be stored of it.
    """
    rule = RULES[type(config)]
    compared = no_reference(policy) if reference is None else reference
    if rule.means:
        policy, compared = per_token(policy, lengths), per_token(compared, lengths)
    return implicit_rewards(policy, compared, beta=config.beta if rule.scaled else 1.0)


def pull(rule: Rule, rewards: PairRewards, facts: PairFacts, config: Any) -> Tensor:
    """Return how strongly each pair pulls its sides apart, (B,): minus the loss's slope in margin.

    Of a loss that is no function of the margin alone, it is half the difference of both slopes. For
    plain DPO it is the weight in section 4 of arXiv:2305.18290, from 1/2 at the start to 0.
    """
    leaves = PairRewards(*(side.detach().requires_grad_() for side in rewards))
    with torch.enable_grad():
        total = rule.loss(leaves, facts, config).sum()
        chosen, rejected = torch.autograd.grad(total, leaves, materialize_grads=True)
    return (rejected - chosen) / 2.0
