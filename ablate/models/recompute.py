"""Activations of transformer blocks that are computed again in the backward pass.

Chen et al. 2016 (arXiv:1604.06174), one segment a block: only the blocks' inputs are kept.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from ablate.errors import SurroundingsError
from ablate.models.backbone import body


def recompute_activations(model: nn.Module) -> None:
    """Let every block of the model keep its input alone wherever gradients are recorded.

    Transformers recomputes blocks in training mode only, which would switch dropout on and take
    away the sampler's cache. So a block's own flag, which nothing inside it reads, is raised for
    passes that record gradients, and the model stays in evaluation mode.
    """
    blocks = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    if not blocks:
        raise SurroundingsError(
            f"activation_checkpointing: {type(model).__name__} has no blocks that transformers can "
            "compute again. Set activation_checkpointing: false."
        )
    again = partial(checkpoint, use_reentrant=False, preserve_rng_state=True)
    for block in blocks:
        block.gradient_checkpointing = True
        block._gradient_checkpointing_func = again
    body(model).register_forward_pre_hook(_raise_flags)


def _raise_flags(module: nn.Module, inputs: Any) -> None:
    for block in module.modules():
        if isinstance(block, GradientCheckpointingLayer):
            block.training = torch.is_grad_enabled()
