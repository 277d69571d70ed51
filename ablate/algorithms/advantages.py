"""Generalized advantage estimation and whitening, over right-padded completions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

WHITENING_EPSILON = 1e-8
"""Added to the variance, so that a constant input whitens to zeros."""


class Advantages(NamedTuple):
    """What generalized advantage estimation gives for each completion token."""

    advantages: Tensor  # (B, T), 0 where padded
    returns: Tensor  # (B, T), advantages + values; 0 where padded


def gae(
    rewards: Tensor,
    values: Tensor,
    mask: Tensor,
    *,
    gamma: float,
    lam: float,
    bootstrap: Tensor | None = None,
) -> Advantages:
    """Estimate advantages and returns, each (B, T): equations 11, 12 and 16 of arXiv:1506.02438.

    ``values[:, t]`` is the value of the state before token t. ``mask`` is 1 on real tokens, which
    come first. The state after the last real token is worth ``bootstrap``, (B,), where completions
    were cut; without it that state is terminal and worth 0, and what a cut costs is the score's
    business.
    """
    mask = mask.to(rewards.dtype)
    values = values * mask
    rewards = rewards * mask
    following = torch.zeros_like(values)
    following[:, :-1] = values[:, 1:]
    if bootstrap is not None:
        last = mask.sum(dim=1, keepdim=True).long() - 1
        following = following.scatter(1, last, bootstrap.to(following).unsqueeze(1))
    deltas = rewards + gamma * following - values  # (B, T)
    advantages = torch.zeros_like(deltas)
    running = torch.zeros_like(deltas[:, 0])
    for t in reversed(range(deltas.shape[1])):
        running = deltas[:, t] + gamma * lam * running
        advantages[:, t] = running
    return Advantages(advantages, advantages + values)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of ``x`` where ``mask`` is 1, a scalar; NaN where nothing is."""
    return (x * mask).sum() / mask.sum()


def whiten(x: Tensor, mask: Tensor, *, shift_mean: bool = True) -> Tensor:
    """Scale ``x`` to unit population variance over the masked positions; padding becomes 0.

    The mean becomes 0 too, unless ``shift_mean`` is false, which keeps it (rewards, whose sign
    matters). Population variance, dividing by n, as in the code of arXiv:1909.08593.
    """
    mean = masked_mean(x, mask)
    variance = masked_mean((x - mean).square(), mask)
    whitened = (x - mean) * (variance + WHITENING_EPSILON).rsqrt()
    if not shift_mean:
        whitened = whitened + mean
    return whitened * mask
