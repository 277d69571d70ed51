"""Reward modelling from rankings of more than two completions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def plackett_luce_loss(scores: Tensor, mask: Tensor) -> Tensor:
    """Return the negative log-likelihood of each ranking in nats, shape (B,): Plackett 1975.

    ``scores``, (B, K), stand from best to worst; ``mask`` is 1 on ranked completions, which come
    first. The best is drawn by softmax from all, the next from the rest, and so on. For two it is
    `bradley_terry_loss`; for one, 0: a ranking of one says nothing.
    """
    real = mask.bool()
    later = torch.ones_like(real[0]).expand(real.shape[1], -1).triu()  # (K, K): j at or after k
    # The lowest number and not -inf, whose logsumexp has no gradient where nothing is left.
    lowest = torch.finfo(scores.dtype).min
    rest = scores.unsqueeze(1).masked_fill(~(later & real.unsqueeze(1)), lowest)  # (B, K, K)
    drawn = rest.logsumexp(dim=2) - scores  # (B, K), minus log-probability of each draw
    return torch.where(real, drawn, 0.0).sum(dim=1)


def all_pairs_loss(scores: Tensor, mask: Tensor) -> Tensor:
    """Return the mean Bradley-Terry loss over all pairs of each ranking, (B,).

    Equation 1 of arXiv:2203.02155: each of the K choose 2 pairs weighs the same, and each ranking
    too. ``scores`` and ``mask`` as in `plackett_luce_loss`; NaN for a ranking without a pair.
    """
    real = mask.bool()
    both = (real.unsqueeze(2) & real.unsqueeze(1)).triu(diagonal=1)  # (B, K, K): better, worse
    margins = torch.where(both, scores.unsqueeze(2) - scores.unsqueeze(1), 0.0)
    losses = torch.where(both, -F.logsigmoid(margins), 0.0)
    return losses.sum(dim=(1, 2)) / both.sum(dim=(1, 2))
