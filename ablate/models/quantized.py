"""Frozen weights in 4 bits under adapters (QLoRA, Dettmers et al. 2023, arXiv:2305.14314).

NF4 with the block scales quantized too, as in the paper's section 3. The linear layers of the body
are quantized; embeddings, norms and heads are not. Products are computed in bf16 on a GPU and in
fp32 elsewhere. bitsandbytes does it on a CPU as well, slowly.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ablate.errors import SurroundingsError
from ablate.models.backbone import body


def library() -> Any:
    """Return the module bitsandbytes; raises SurroundingsError where it is not installed."""
    try:
        import bitsandbytes  # Seconds of import time, and an extra that most studies do not need.
    except ImportError as error:
        raise SurroundingsError(
            f"bitsandbytes: {error}; lora.quantization and optimizer: adamw_8bit need it. "
            "Install it: pip install 'ablate-studies[gpu]'."
        ) from error
    return bitsandbytes


def quantize(model: nn.Module) -> None:
    """Replace the body's linear layers by frozen ones in NF4, in place.

    Raises SurroundingsError for a model without such layers: GPT-2's are of another kind.
    """
    bitsandbytes = library()
    plain = [
        (module, name, layer)
        for module in body(model).modules()
        for name, layer in module.named_children()
        if type(layer) is nn.Linear
    ]
    if not plain:
        raise SurroundingsError(
            f"lora.quantization: {type(model).__name__} has no linear layers that can be held in 4 "
            "bits. Set lora.quantization: null."
        )
    for module, name, layer in plain:
        setattr(module, name, _quantized(bitsandbytes, layer))
    shell: Any = model
    shell.is_loaded_in_4bit = True  # Asked by peft, which then adds adapters of the right kind.


def _quantized(bitsandbytes: Any, layer: nn.Linear) -> nn.Module:
    weight = layer.weight.detach()
    made: Any = bitsandbytes.nn.Linear4bit(
        layer.in_features,
        layer.out_features,
        bias=layer.bias is not None,
        compute_dtype=torch.float32 if weight.device.type == "cpu" else torch.bfloat16,
        quant_type="nf4",
        compress_statistics=True,
        device="meta",
    )
    made.weight = bitsandbytes.nn.Params4bit(
        weight.contiguous(), requires_grad=False, quant_type="nf4", module=made
    )
    if layer.bias is not None:
        made.bias = nn.Parameter(layer.bias.detach(), requires_grad=False)
    quantized: nn.Module = made.to(weight.device).eval()  # The move is what quantizes.
    return quantized


def is_quantized(layer: object) -> bool:
    """Return whether a layer's weights are held in 4 bits; peft's shell around it is another."""
    shell = hasattr(layer, "base_layer")
    return not shell and hasattr(getattr(layer, "weight", None), "quant_state")


def dequantized(layer: Any, update: Tensor | None = None) -> nn.Linear:
    """Return a plain fp32 layer on the CPU: what the 4 bits stand for, plus an adapter's update."""
    state = layer.weight.quant_state
    weight = library().functional.dequantize_4bit(layer.weight.data, state).float()
    if update is not None:
        weight = weight + update.detach().float()
    plain = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
    plain.weight = nn.Parameter(weight.cpu(), requires_grad=False)
    if layer.bias is not None:
        plain.bias = nn.Parameter(layer.bias.detach().float().cpu(), requires_grad=False)
    return plain
