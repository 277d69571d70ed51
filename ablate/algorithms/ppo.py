"""Proximal policy optimization (Schulman et al. 2017, arXiv:1707.06347)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LOGRATIO_LIMIT = 20.0
"""Log-ratios are clamped here before exp: far beyond any clip, and still finite."""


class PolicyObjective(NamedTuple):
    """A micro-batch's share of the policy loss, and what the ratios looked like."""

    loss: Tensor  # scalar
    clipped: Tensor  # (B, T), 1 where the clip took the gradient away
    ratio: Tensor  # (B, T), exactly 1 where padded


class Experience(NamedTuple):
    """What was true of each sampled token when the rollout batch was made, each (B, T)."""

    logprobs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    mask: Tensor


def policy_loss(
    logprobs: Tensor, old: Experience, *, clip_ratio: float, total_tokens: float
) -> PolicyObjective:
    """Return the clipped surrogate loss: minus equation 7 of arXiv:1707.06347, per token.

    ``total_tokens`` counts the completion tokens of the whole minibatch, so that the shares of its
    micro-batches add up to one token mean.
    """
    logratio = (logprobs - old.logprobs) * old.mask
    ratio = logratio.clamp(-LOGRATIO_LIMIT, LOGRATIO_LIMIT).exp()  # (B, T)
    free = -old.advantages * ratio
    clipped = -old.advantages * ratio.clamp(1.0 - clip_ratio, 1.0 + clip_ratio)
    loss = (torch.maximum(free, clipped) * old.mask).sum() / total_tokens
    took_over = (clipped > free).to(ratio.dtype) * old.mask
    return PolicyObjective(loss, took_over.detach(), ratio.detach())


def value_loss(
    values: Tensor, old: Experience, *, clip: float | None, total_tokens: float
) -> Tensor:
    """Return a micro-batch's share of half the mean squared error to the returns, a scalar.

    With ``clip`` the larger of two errors counts, the second with the value held within ``clip`` of
    the old one. That is not in the paper but in OpenAI's baselines and in every reproduction
    since; the factor 1/2 is theirs too.
    """
    errors = (values - old.returns).square()
    if clip is not None:
        held = old.values + (values - old.values).clamp(-clip, clip)
        errors = torch.maximum(errors, (held - old.returns).square())
    return 0.5 * (errors * old.mask).sum() / total_tokens
