"""The optimizers that a study can name: AdamW, and AdamW with moments in 8 bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ablate.errors import SurroundingsError
from ablate.models.quantized import library
from ablate.models.ranks import world_size
from ablate.training.schedule import LearningRate

IMPLEMENTATIONS = {"adamw": "adamw-fused", "adamw_8bit": "adamw-8bit-blockwise"}
"""What computes each, as recorded beside artifacts. One on every device: fused differs from torch's
plain AdamW in the last bits."""


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW's numbers and the gradient clip."""

    rate: LearningRate
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float
    max_grad_norm: float
    optimizer: str = "adamw"
    """``adamw``, or ``adamw_8bit`` with moments in 8 bits."""


def new_optimizer(
    weights: Sequence[nn.Parameter], settings: OptimizerSettings
) -> torch.optim.Optimizer:
    """Return the optimizer of some weights.

    In 8 bits (Dettmers et al. 2022, arXiv:2110.02861) blocks of 256 moments share a scale; weights
    of less than 4,096 numbers keep fp32 moments. Raises SurroundingsError without bitsandbytes, and
    where weights are spread over ranks, which it cannot step.
    """
    common: dict[str, Any] = {
        "lr": settings.rate.peak,
        "betas": (settings.beta1, settings.beta2),
        "eps": settings.epsilon,
        "weight_decay": settings.weight_decay,
    }
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(weights, fused=True, **common)
    if world_size() > 1:
        raise SurroundingsError(
            "optimizer: 'adamw_8bit' cannot step weights that are spread over ranks. Train in one "
            "process, or set optimizer: adamw."
        )
    made: torch.optim.Optimizer = library().optim.AdamW8bit(weights, **common)
    return made
