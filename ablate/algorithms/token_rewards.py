"""From one score a completion to one reward a token."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

EndRule = Literal["replace", "subtract"]


def end_rule(scores: Tensor, ended: Tensor, *, rule: EndRule, penalty: float) -> Tensor:
    """Return the scores, shape (B,), with completions that lack an end token penalized.

    ``replace`` sets them to ``penalty`` (Ivison et al. 2024's code), ``subtract`` adds it; it is
    negative in both.
    """
    penalized = torch.full_like(scores, penalty) if rule == "replace" else scores + penalty
    return torch.where(ended, scores, penalized)


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, *, kl_coef: float) -> Tensor:
    """Return the reward of each completion token, shape (B, T), 0 where padded.

    Every token pays ``kl_coef`` times its KL estimate, and the last real one also earns the score:
    equation 2 of arXiv:2203.02155 spread over tokens. The last real token is the end token where
    there is one, not the padding after it, where the code of arXiv:1909.08593 puts the score.
    A completion without any (see `without_truncated`) earns nothing.
    """
    mask = mask.to(scores.dtype)
    rewards = -kl_coef * kl * mask if kl_coef else torch.zeros_like(mask)
    lengths = mask.sum(dim=1).long()  # (B,)
    earned = torch.where(lengths > 0, scores, 0.0)
    return rewards.scatter_add(1, (lengths - 1).clamp(min=0).unsqueeze(1), earned.unsqueeze(1))


def sequence_rewards(scores: Tensor, kl: Tensor, mask: Tensor, *, kl_coef: float) -> Tensor:
    """Return the reward of each completion as one action, shape (B,).

    The sum of its `token_rewards`: equation 2 of arXiv:2203.02155 as it stands there, and the
    reward of RLOO (arXiv:2402.14740). With k1 its policy gradient is that of the score minus the
    sequence's KL, with k2 and k3 it is not.
    """
    return token_rewards(scores, kl, mask, kl_coef=kl_coef).sum(dim=1)


def without_truncated(mask: Tensor, ended: Tensor) -> Tensor:
    """Return the mask, (B, T), with completions that lack an end token taken out.

    The overlong filtering of arXiv:2503.14476, section 3.4: a completion that was cut says nothing
    about its policy, so it enters no loss, while its reward may still enter a baseline. A mean over
    completions still counts it, a mean over tokens does not. An alternative to `end_rule`.
    """
    return mask * ended.to(mask.dtype).unsqueeze(1)
