"""The vocabulary head's product with fp32 results, whatever precision its factors have.

Under bf16 autocast a linear layer rounds its result to 8 bits, so that log-probabilities near -10
would move in steps of 1/32 and biases would not average out over tokens. Here the factors are what
autocast makes of them, and their products are summed and returned in fp32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def fp32_logits(head: nn.Module, states: Tensor) -> Tensor:
    """Return ``head(states)`` in fp32, shape (N, V); in plain fp32 it is exactly that call.

    A head with an adapter, or with another form than a linear layer, is called as it is and its
    result converted.
    """
    device = states.device.type
    low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype
    weight = getattr(head, "weight", None)
    if low == torch.float32 or type(head) is not nn.Linear or weight is None:
        plain: Tensor = head(states)
        return plain.float()
    product: Any = _Product.apply
    logits: Tensor = product(states, weight, low)
    return logits if head.bias is None else logits + head.bias.float()


class _Product(torch.autograd.Function):
    """``states @ weight.T`` of factors rounded to ``low``, with fp32 sums."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, low: torch.dtype) -> Tensor:
        rounded = states.to(low)
        ctx.save_for_backward(rounded, weight)
        ctx.low, ctx.dtype = low, states.dtype
        return _multiplied(rounded, weight.to(low).t())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        states, weight = ctx.saved_tensors
        grad = grads[0].to(ctx.low)
        of_states = of_weight = None
        if ctx.needs_input_grad[0]:
            of_states = _multiplied(grad, weight.to(ctx.low)).to(ctx.dtype)
        if ctx.needs_input_grad[1]:
            of_weight = _multiplied(grad.t(), states).to(weight.dtype)
        return of_states, of_weight, None


def _multiplied(left: Tensor, right: Tensor) -> Tensor:
    """Return the fp32 matrix product of two factors of low precision."""
    with torch.autocast(left.device.type, enabled=False):
        if left.device.type == "cuda":
            return torch.mm(left, right, out_dtype=torch.float32)
        # Elsewhere no kernel has another result type than its factors'; products are exact in fp32.
        return left.float() @ right.float()
