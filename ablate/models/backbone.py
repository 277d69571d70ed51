"""The parts of a Hugging Face model that scoring and sampling call one by one.

The body gives hidden states and the head is applied to the few positions that need it: with a
vocabulary of 50,000 the head is most of a forward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ablate.errors import SurroundingsError

_LOGIT_CHANGES = (
    "final_logit_softcapping",
    "logit_scale",
    "logits_scaling",
    "mup_width_multiplier",
)


def unwrapped(model: nn.Module) -> Any:
    """Return the model itself: with its LoRA layers, without peft's shell."""
    inner = getattr(model, "get_base_model", None)
    return model if inner is None else inner()


def body(model: nn.Module) -> Any:
    """Return the part that maps token ids to hidden states."""
    inner = unwrapped(model)
    return getattr(inner, inner.base_model_prefix)


def vocabulary_head(model: nn.Module) -> Any:
    """Return the part that maps hidden states to logits over the vocabulary."""
    return unwrapped(model).get_output_embeddings()


def score_head(model: nn.Module) -> Any:
    """Return the part that maps hidden states to one scalar."""
    return unwrapped(model).score


def device_of(model: nn.Module) -> torch.device:
    """Return where the weights are."""
    return next(model.parameters()).device


def hidden_states(model: nn.Module, ids: Tensor) -> Tensor:
    """Return the final hidden states, shape (B, L, d), of right-padded rows.

    No mask is needed: attention is causal, so no real token sees the padding to its right, and
    positions count from 0 in every row, also for absolute-position models.
    """
    states: Tensor = body(model)(input_ids=ids, use_cache=False).last_hidden_state
    return states


def refuse_unsupported(config: Any, where: str) -> None:
    """Raise SurroundingsError for a model that body + head or one attention mask cannot express."""
    changed = [name for name in _LOGIT_CHANGES if getattr(config, name, None) not in (None, 1.0)]
    layers = set(getattr(config, "layer_types", None) or ())
    if layers - {"full_attention"}:
        changed.append("layer_types")
    elif not layers and getattr(config, "sliding_window", None) is not None:
        changed.append("sliding_window")
    if changed:
        raise SurroundingsError(
            f"{where}: {config.model_type!r} sets {', '.join(changed)}; supported are causal "
            "models with full attention and plain logits (Llama, SmolLM2, Qwen2, GPT-2, ...). "
            "Choose another model."
        )
