"""Low-rank adapters through peft; the reference policy is the same model without them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ablate.errors import SurroundingsError
from ablate.models.backbone import unwrapped
from ablate.spec.stages import LoraConfig


def apply_lora(model: nn.Module, config: LoraConfig, *, seed: int) -> nn.Module:
    """Return the model with trainable adapters; all other weights but a scalar head are frozen.

    The adapters start at zero effect. Their random half comes from ``seed``; the global generator
    is left as it was.
    """
    import peft  # Seconds of import time that most jobs do not need.

    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    if missing := sorted(set(config.targets) - names):
        raise SurroundingsError(
            f"lora.targets: the model has no layer named {', '.join(missing)}; "
            f"it has {', '.join(sorted(_linear_names(model)))}. Change lora.targets."
        )
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
    """Return a copy whose weights hold the adapters; without adapters the model itself."""
    if not is_lora(model):
        return model
    result: nn.Module = copy.deepcopy(model).merge_and_unload()  # type: ignore[operator]
    return result


def _linear_names(model: nn.Module) -> set[str]:
    return {
        name.rpartition(".")[2]
        for name, module in unwrapped(model).named_modules()
        if hasattr(module, "weight") and getattr(module.weight, "ndim", 0) == 2 and "." in name
    }
