"""What divergence from the reference costs, and how it is measured."""

from __future__ import annotations

from torch import Tensor

from ablate.algorithms.advantages import masked_mean
from ablate.algorithms.kl import KlEstimator, adapted_kl_coef, kl_per_token
from ablate.spec.online import PolicyGradientConfig


class KlPrice:
    """The coefficient of the KL penalty, fixed or steered towards a target."""

    def __init__(self, config: PolicyGradientConfig) -> None:
        """Start at the configured coefficient."""
        self.config = config
        self.coef = config.kl_coef

    def adapt(self, logprobs: Tensor, reference: Tensor, mask: Tensor) -> None:
        """Move the price after a rollout batch, where there is a target."""
        config = self.config
        if config.kl_target is not None:
            kl = kl_per_token(logprobs, reference, estimator="k1") * mask
            self.coef = adapted_kl_coef(
                self.coef,
                kl.sum(dim=1).mean().item(),
                target=config.kl_target,
                rollouts=config.rollouts_per_step,
                horizon=config.kl_horizon,
            )


def divergence_metrics(logprobs: Tensor, reference: Tensor, mask: Tensor) -> dict[str, float]:
    """Return KL per sequence and per token by k1 and k3, and the entropy, all in nats."""
    # The mean surprise of sampled tokens: the entropy where logits are divided alike in sampling
    # and scoring, else a cross-entropy.
    metrics = {"entropy": -masked_mean(logprobs, mask).item()}
    estimators: tuple[tuple[KlEstimator, str], ...] = (("k1", ""), ("k3", "_k3"))
    for estimator, suffix in estimators:
        kl = kl_per_token(logprobs, reference, estimator=estimator) * mask
        metrics["kl_per_sequence" + suffix] = kl.sum(dim=1).mean().item()
        metrics["kl_per_token" + suffix] = masked_mean(kl, mask).item()
    return metrics
