"""Low-rank adapters through peft; the reference policy is the same model without them.

Adapters and a scalar head are fp32. What is frozen keeps its dtype, or 4 bits if asked for.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ablate.errors import SurroundingsError
from ablate.models.backbone import unwrapped
from ablate.models.quantized import dequantized, is_quantized, quantize
from ablate.models.ranks import world_size
from ablate.models.sharding import is_sharded
from ablate.spec.stages import LoraConfig


def apply_lora(model: nn.Module, config: LoraConfig, *, seed: int) -> nn.Module:
    """Return the model with trainable adapters; all other weights but a scalar head are frozen.

    The adapters start at zero effect. Their random half comes from ``seed``; the global generator
    is left as it was.
    """
    if is_sharded(model):
        raise ValueError("adapters come before a model is spread over ranks, at its first pass")
    import peft  # Seconds of import time that most jobs do not need.

    _check_targets(model, config)
    if config.quantization is not None:
        if world_size() > 1:
            raise SurroundingsError(
                "lora.quantization: weights in 4 bits cannot be spread over ranks. Train them in "
                "one process, or set lora.quantization: null."
            )
        quantize(model)
    scoring = hasattr(model, "score")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapted: nn.Module = peft.get_peft_model(
            model,
            peft.LoraConfig(
                r=config.rank,
                lora_alpha=config.alpha,
                lora_dropout=config.dropout,
                target_modules=list(config.targets),
                fan_in_fan_out=_transposed(model, config),
                modules_to_save=["score"] if scoring else None,
            ),
        )
    return adapted.eval()


def is_lora(model: nn.Module) -> bool:
    """Return whether the model carries adapters."""
    return hasattr(model, "disable_adapter")


@contextmanager
def without_adapters(model: nn.Module) -> Iterator[nn.Module]:
    """Let the model compute what it computed before its adapters were added."""
    if not is_lora(model):
        raise ValueError("the model has no adapters; load the reference policy by itself")
    shell: Any = model
    with shell.disable_adapter():
        yield model


def merged(model: nn.Module) -> nn.Module:
    """Return an fp32 copy on the CPU with the adapters in its weights; else the model itself.

    4 bits become what they stand for: the sum with the adapters would not fit into them again.
    """
    if not is_lora(model):
        return model
    # Copied to their place at once: a second model may not fit beside the first.
    memo: dict[int, Any] = {
        id(weight): nn.Parameter(
            weight.detach().to("cpu", torch.float32, copy=True), requires_grad=False
        )
        for weight in model.parameters()
        if weight.is_floating_point()
    }
    copied: Any = copy.deepcopy(model, memo)
    for module in list(copied.get_base_model().modules()):
        for name, layer in list(module.named_children()):
            if is_quantized(layer):
                setattr(module, name, dequantized(layer))
            elif is_quantized(getattr(layer, "base_layer", None)):
                updates = [layer.get_delta_weight(adapter) for adapter in layer.active_adapters]
                setattr(module, name, dequantized(layer.base_layer, sum(updates)))
    result: nn.Module = copied.merge_and_unload()
    return result


def _check_targets(model: nn.Module, config: LoraConfig) -> None:
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    if missing := sorted(set(config.targets) - names):
        raise SurroundingsError(
            f"lora.targets: the model has no layer named {', '.join(missing)}; "
            f"it has {', '.join(sorted(_linear_names(model)))}. Change lora.targets."
        )


def _transposed(model: nn.Module, config: LoraConfig) -> bool:
    """Return whether the targets hold their weights as GPT-2's do, inputs first.

    Otherwise peft would find out by itself, and warn.
    """
    kinds = {
        type(module).__name__
        for name, module in model.named_modules()
        if name.rpartition(".")[2] in config.targets
    }
    return kinds == {"Conv1D"}


def _linear_names(model: nn.Module) -> set[str]:
    return {
        name.rpartition(".")[2]
        for name, module in unwrapped(model).named_modules()
        if hasattr(module, "weight") and getattr(module.weight, "ndim", 0) == 2 and "." in name
    }
