"""Direct preference optimization (Rafailov et al. 2023, arXiv:2305.18290)."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class PairLogprobs(NamedTuple):
    """Completion log-probabilities of preference pairs, summed over tokens, in nats."""

    chosen: Tensor  # (B,)
    rejected: Tensor  # (B,)


class PairRewards(NamedTuple):
    """Implicit rewards of preference pairs."""

    chosen: Tensor  # (B,)
    rejected: Tensor  # (B,)

    @property
    def margin(self) -> Tensor:
        """By how much the chosen completion is preferred, shape (B,)."""
        return self.chosen - self.rejected


def implicit_rewards(policy: PairLogprobs, reference: PairLogprobs, *, beta: float) -> PairRewards:
    """Return ``beta * log(pi / pi_ref)`` of both completions: equation 5 of arXiv:2305.18290.

    The partition function of equation 5 is left out; it cancels within a pair.
    """
    return PairRewards(
        chosen=beta * (policy.chosen - reference.chosen),
        rejected=beta * (policy.rejected - reference.rejected),
    )


def dpo_loss(rewards: PairRewards, *, label_smoothing: float = 0.0) -> Tensor:
    """Return the loss of each pair, shape (B,): equation 7 of arXiv:2305.18290.

    Log-probabilities are sums, not means, over completion tokens: a mean gives a length-normalized
    objective. ``label_smoothing`` is the probability that a label is flipped, equation 3 of
    Mitchell's note on conservative DPO (2023); robust DPO (arXiv:2403.00409) also divides by
    ``1 - 2 * label_smoothing``, and this does not.
    """
    kept = -F.logsigmoid(rewards.margin)
    if label_smoothing == 0.0:
        return kept
    flipped = -F.logsigmoid(-rewards.margin)
    return (1.0 - label_smoothing) * kept + label_smoothing * flipped


def gradient_weight(rewards: PairRewards) -> Tensor:
    """Return how strongly each pair pulls, in [0, 1], shape (B,).

    The weight in the gradient of plain DPO (section 4 of arXiv:2305.18290): near 1 where the
    implicit reward ranks the pair wrongly, 1/2 at the start, near 0 once the pair is learned.
    """
    return (-rewards.margin).sigmoid()
