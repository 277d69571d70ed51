"""Policy gradients without a critic: REINFORCE, RLOO, GRPO.

A loss is a micro-batch's share: with ``total``, or `token_weights`, of the whole optimizer step the
shares add up to one mean however the step was split.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ablate.algorithms.kl import KlEstimator, kl_per_token
from ablate.algorithms.ppo import LOGRATIO_LIMIT, PolicyObjective

Normalization = Literal["sequence", "token", "constant"]


class Samples(NamedTuple):
    """What was true of the sampled completions when the rollout batch was made."""

    logprobs: Tensor  # (B, T), of the policy that the ratio is taken against
    advantages: Tensor  # (B,), one a completion
    mask: Tensor  # (B, T), 1 on real tokens; all 0 takes a completion out of the loss


class StepTotals(NamedTuple):
    """What an optimizer step's losses are means over."""

    completions: float
    """Completions of the step, masked-out ones included."""
    tokens: float
    """Tokens under the step's masks."""
    max_length: float
    """Largest number of tokens that a completion may have."""


def reinforce_loss(logprobs: Tensor, samples: Samples, *, total: float) -> Tensor:
    """Return minus advantage times log-probability, summed over completions and over ``total``.

    Williams 1992, with the whole completion as one action as in arXiv:2402.14740: its gradient is
    exact only for the policy that sampled, so a rollout batch serves one optimizer step. With
    leave-one-out advantages this is RLOO as published. ``logprobs`` has shape (B, T); the old ones
    of ``samples`` are not used. The value of the loss has no meaning, only its gradient has.
    """
    return -(samples.advantages * (logprobs * samples.mask).sum(dim=1)).sum() / total


def sequence_clipped_loss(
    logprobs: Tensor, samples: Samples, *, clip_ratio: float, total: float
) -> PolicyObjective:
    """Return the clipped surrogate on the ratio of whole completions; clipped, ratio are (B,).

    Equation 7 of arXiv:1707.06347 with a completion as one action, which TRL calls RLOO. At ratio 1
    it has the gradient of `reinforce_loss`; unlike there, a batch may serve several steps.
    """
    logratio = ((logprobs - samples.logprobs) * samples.mask).sum(dim=1)
    loss, clipped, ratio = _clipped(logratio, samples.advantages, (clip_ratio, clip_ratio))
    return PolicyObjective(loss.sum() / total, clipped, ratio)


def token_clipped_loss(
    logprobs: Tensor,
    samples: Samples,
    *,
    weights: Tensor,
    clip_ratio: float,
    clip_ratio_high: float | None = None,
) -> PolicyObjective:
    """Return the clipped surrogate on the ratio of each token, advantages being a completion's.

    The first term of equation 3 of arXiv:2402.03300; the second is `kl_loss`. ``weights`` come from
    `token_weights`. ``clip_ratio_high`` is another bound above 1 (arXiv:2503.14476, equation 8).
    """
    high = clip_ratio if clip_ratio_high is None else clip_ratio_high
    logratio = (logprobs - samples.logprobs) * samples.mask
    loss, clipped, ratio = _clipped(logratio, samples.advantages[:, None], (clip_ratio, high))
    return PolicyObjective((loss * weights).sum(), clipped * samples.mask, ratio)


def kl_loss(
    logprobs: Tensor,
    reference: Tensor,
    *,
    weights: Tensor,
    estimator: KlEstimator,
    sampled: Tensor | None = None,
) -> Tensor:
    """Return the weighted KL estimate of the sampled tokens as a loss, a scalar in nats.

    Equation 4 of arXiv:2402.03300 is k3. On-policy its expected gradient is that of
    KL(reference || policy); k2's is that of KL(policy || reference), and k1's is 0 (the effect of a
    token on later ones aside). With the log-probabilities of the policy that ``sampled``, each
    estimate is multiplied by the token's ratio, gradient included, which makes k1's and k3's that
    of KL(policy || reference) too, also off-policy (arXiv:2512.02556; TRL's default for GRPO, not
    the GRPO paper's). Log-probabilities and weights have shape (B, T).
    """
    # Padding is cut out before exp, where a large difference would turn 0 * inf into NaN.
    real = weights != 0
    logprobs, reference = torch.where(real, logprobs, 0.0), torch.where(real, reference, 0.0)
    estimates = kl_per_token(logprobs, reference, estimator=estimator)
    if sampled is not None:
        logratio = logprobs - torch.where(real, sampled, 0.0)
        estimates = estimates * logratio.clamp(-LOGRATIO_LIMIT, LOGRATIO_LIMIT).exp()
    return (estimates * weights).sum()


def token_weights(mask: Tensor, *, rule: Normalization, totals: StepTotals) -> Tensor:
    """Return what each token counts in the step's loss, shape (B, T), 0 where masked.

    ``sequence``: mean over a completion's tokens, then over completions, so that tokens of long
    completions count less (arXiv:2402.03300, equation 3). ``token``: mean over all tokens of the
    step (arXiv:2503.14476, equation 8). ``constant``: sum over tokens by the largest length, then
    mean over completions: no length bias (arXiv:2503.20783, section 3). NaN under ``token`` if
    the step has no token at all.
    """
    mask = mask.to(torch.get_default_dtype())
    match rule:
        case "sequence":
            return mask / mask.sum(dim=1, keepdim=True).clamp(min=1.0) / totals.completions
        case "token":
            return mask / totals.tokens
        case "constant":
            return mask / (totals.completions * totals.max_length)


def _clipped(
    logratio: Tensor, advantages: Tensor, clip: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return loss, where the clip took the gradient away, and ratio of each action."""
    ratio = logratio.clamp(-LOGRATIO_LIMIT, LOGRATIO_LIMIT).exp()
    free = -advantages * ratio
    held = -advantages * ratio.clamp(1.0 - clip[0], 1.0 + clip[1])
    return torch.maximum(free, held), (held > free).to(ratio.dtype), ratio.detach()
