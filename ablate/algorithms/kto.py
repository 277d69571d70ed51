"""Kahneman-Tversky optimization (Ethayarajh et al. 2024, arXiv:2402.01306): labels, not pairs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor


def mismatched(prompts: Sequence[Hashable]) -> list[int]:
    """Return, for each example of a batch, whose completion to put under its prompt.

    A rotation: completion i + 1 under prompt i (arXiv:2402.01306, section 4.1) while no prompt then
    meets a completion of its own. Where prompts repeat, as both sides of a pair do, it is the
    smallest rotation with the fewest such meetings.

    Raises ValueError if all prompts are equal, one prompt included: nothing can be mismatched.
    """
    count = len(prompts)
    if len(set(prompts)) < 2:
        raise ValueError(f"{count} examples of one prompt; at least two prompts are needed")

    def meetings(shift: int) -> int:
        return sum(prompts[i] == prompts[(i + shift) % count] for i in range(count))

    best = min(range(1, count), key=meetings)
    return [(i + best) % count for i in range(count)]


def kl_baseline(mismatched_logratios: Tensor) -> Tensor:
    """Return the reference point z0 in nats, a scalar >= 0 without gradient.

    The mean of ``log pi - log pi_ref`` of the mismatched completions of a step's whole batch, (B,),
    clamped at 0: the paper's estimate of KL(pi || pi_ref), biased upwards by the clamp and shared
    by all examples. Micro-batches must use one value, or their losses do not add up.
    """
    return mismatched_logratios.detach().mean().clamp(min=0.0)


def kto_loss(
    logratios: Tensor,
    desirable: Tensor,
    *,
    baseline: Tensor,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Return the loss of each example, shape (B,): equation 8 of arXiv:2402.01306.

    ``logratios`` are ``log pi - log pi_ref`` summed over the completion; ``desirable`` is true
    where the label is good. The paper advises weights such that ``desirable_weight * n_desirable``
    is 1 to 4/3 times ``undesirable_weight * n_undesirable``.
    """
    gain = torch.where(desirable, logratios - baseline, baseline - logratios)
    weight = torch.where(desirable, desirable_weight, undesirable_weight).to(logratios)
    return weight * (1.0 - (beta * gain).sigmoid())
