"""Reward modelling from pairs (Bradley and Terry 1952; Ouyang et al. 2022, arXiv:2203.02155)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def bradley_terry_loss(
    chosen: Tensor,
    rejected: Tensor,
    *,
    margin: Tensor | float = 0.0,
    centering_coef: float = 0.0,
) -> Tensor:
    """Return the loss of each pair of scores, shape (B,): equation 1 of arXiv:2203.02155 for K = 2.

    ``margin`` stands inside the sigmoid (arXiv:2307.09288, equation 2): (B,) where it varies with
    the annotators' certainty, as there, or one number for all pairs. ``centering_coef`` weighs the
    squared sum of both scores, which holds scores around zero (arXiv:2312.09244, section 2): the
    ranking loss alone leaves their mean undetermined.
    """
    loss = -F.logsigmoid(chosen - rejected - margin)
    if centering_coef:
        loss = loss + centering_coef * (chosen + rejected).square()
    return loss


def wins(margin: Tensor) -> Tensor:
    """Return 1 where the chosen side leads, 1/2 at a tie, else 0; shape as given."""
    return 0.5 * (margin.sign() + 1.0)
