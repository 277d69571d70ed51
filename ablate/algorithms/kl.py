"""Estimates of the divergence from the reference, and the controller of its price."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

KlEstimator = Literal["k1", "k2", "k3"]

CONTROL_CLIP = 0.2
"""Largest proportional error that the controller reacts to (arXiv:1909.08593, section 2.2)."""


def kl_per_token(logprobs: Tensor, reference: Tensor, *, estimator: KlEstimator) -> Tensor:
    """Estimate KL(policy || reference) at each token sampled from the policy, in nats, any shape.

    Schulman, "Approximating KL divergence" (2020). k1, the log-ratio, is unbiased and may be
    negative; k2, half its square, is biased with low variance; k3 is unbiased and never negative.
    That holds for the estimate's value: as a loss to differentiate, k1 has zero expected gradient
    and k3 a biased one, so they belong in the reward.
    """
    logratio = logprobs - reference
    match estimator:
        case "k1":
            return logratio
        case "k2":
            return 0.5 * logratio.square()
        case "k3":
            return (-logratio).expm1() + logratio


def adapted_kl_coef(
    coef: float, observed: float, *, target: float, rollouts: int, horizon: int
) -> float:
    """Return the next coefficient: the controller of arXiv:1909.08593, section 2.2.

    ``observed`` and ``target`` are in nats per sequence. The paper's gain per step is 0.1; like its
    released code this one is ``rollouts / horizon``, which does not depend on the batch size.
    """
    error = min(max(observed / target - 1.0, -CONTROL_CLIP), CONTROL_CLIP)
    return coef * (1.0 + error * rollouts / horizon)
