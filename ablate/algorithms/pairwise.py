"""Losses of preference pairs besides plain DPO.

Every variant is a view of the log-probabilities (sums or `per_token` means, against a reference or
`no_reference`), then `implicit_rewards`, then one of the losses here or `dpo_loss`. DPO with length
normalization is ``dpo_loss`` on per-token means (beta must then be about ten times larger), and
reference-free DPO is ``dpo_loss`` on sums without a reference. All losses have shape (B,), so that
sums of micro-batches over the pairs of a step add up to one mean.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ablate.algorithms.dpo import PairLogprobs, PairRewards

LN_2 = 0.6931471805599453


def per_token(sums: PairLogprobs, lengths: PairLogprobs) -> PairLogprobs:
    """Return mean log-probabilities of a completion token; NaN where a completion has no token."""
    return PairLogprobs(sums.chosen / lengths.chosen, sums.rejected / lengths.rejected)


def no_reference(policy: PairLogprobs) -> PairLogprobs:
    """Return reference log-probabilities of 0: the reference prefers neither completion.

    DPO against this uniform reference is the reference-free variant of the paper's code; SimPO has
    none either.
    """
    return PairLogprobs(torch.zeros_like(policy.chosen), torch.zeros_like(policy.rejected))


def robust_dpo_loss(rewards: PairRewards, *, label_smoothing: float) -> Tensor:
    """Return the loss of each pair, unbiased under flipped labels: arXiv:2403.00409, section 3.

    ``label_smoothing`` is the rate of flipped labels, below 1/2. Averaged over flips at that rate
    this equals `dpo_loss` on clean labels, at the price of a larger variance. It may be negative,
    and falls without bound as the margin grows.
    """
    kept = -F.logsigmoid(rewards.margin)
    flipped = -F.logsigmoid(-rewards.margin)
    mixed = (1.0 - label_smoothing) * kept - label_smoothing * flipped
    return mixed / (1.0 - 2.0 * label_smoothing)


def ipo_loss(rewards: PairRewards, *, beta: float) -> Tensor:
    """Return the squared distance of each log-ratio margin to 1/(2 beta): arXiv:2310.12036, eq. 17.

    ``rewards`` must come from `per_token` means, and with the same ``beta`` (the paper's tau). The
    equation has sums; its authors used means, without which the target depends on length.
    """
    return (rewards.margin / beta - 0.5 / beta).square()


def hinge_loss(rewards: PairRewards) -> Tensor:
    """Return how far each margin is below 1: the hinge of SLiC (arXiv:2305.10425).

    Taken over the implicit rewards as in arXiv:2309.06657 and not, as in SLiC, over the policy's
    log-probabilities alone; SLiC's regularization toward demonstrations is left out.
    """
    return (1.0 - rewards.margin).relu()


def offset_dpo_loss(rewards: PairRewards, *, offset: Tensor | float) -> Tensor:
    """Return the loss of each pair whose margin should exceed ``offset``: ODPO, arXiv:2402.10571.

    ``offset`` is in units of reward, one for all pairs or (B,). The paper derives it from the
    difference of two scores; a constant is the same margin for every pair.
    """
    return -F.logsigmoid(rewards.margin - offset)


def score_gap_offset(chosen: Tensor, rejected: Tensor, *, scale: float) -> Tensor:
    """Return ``scale`` times the log of the gap between two scores, shape (B,), for the offset.

    The scaling that arXiv:2402.10571 settles on. Negative for gaps below 1, which then ask for
    less than plain DPO; -inf for a tie, whose pair pulls nowhere; NaN where the rejected completion
    scores higher: such a pair must be turned round or dropped before.
    """
    return scale * (chosen - rejected).log()


def simpo_loss(rewards: PairRewards, *, beta: float, gamma_beta_ratio: float) -> Tensor:
    """Return the loss of each pair: equation 6 of arXiv:2405.14734.

    ``rewards`` must come from `per_token` means and `no_reference`, with the same ``beta``. The
    target margin gamma is ``gamma_beta_ratio * beta``, the parameter of the authors' code.
    """
    return -F.logsigmoid(rewards.margin - gamma_beta_ratio * beta)


def log_odds_ratio(means: PairLogprobs) -> Tensor:
    """Return the log of odds(chosen) / odds(rejected), (B,): equations 4 and 5 of arXiv:2403.07691.

    ``means`` are `per_token` log-probabilities; the odds of probability p are p / (1 - p).
    """
    return (means.chosen - log1m_exp(means.chosen)) - (means.rejected - log1m_exp(means.rejected))


def orpo_loss(means: PairLogprobs, *, beta: float) -> Tensor:
    """Return NLL plus ``beta`` times the odds-ratio loss of each pair: eq. 6 and 7 of 2403.07691.

    ``beta`` is the paper's lambda. The NLL is the mean over the chosen completion's own tokens, not
    over the batch's tokens nor over the prompt's, so that every pair weighs the same.
    """
    return -means.chosen - beta * F.logsigmoid(log_odds_ratio(means))


def log1m_exp(x: Tensor) -> Tensor:
    """Return log(1 - exp(x)) for log-probabilities, any shape, without cancellation near 0.

    Maechler, "Accurately computing log(1 - exp(-|a|))" (2012). A probability of 1 is taken as one
    rounding unit below 1, with gradient 0: its odds are infinite.
    """
    x = x.clamp(max=-torch.finfo(x.dtype).eps)
    return torch.where(x < -LN_2, (-x.exp()).log1p(), (-x.expm1()).log())
