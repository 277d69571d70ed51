"""The sizes of a transformer, as its ``config.json`` states them: what memory is reckoned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import PositiveInt, ValidationError

from ablate.spec.config import Config


class ModelShape(Config):
    """What tells how much memory a causal language model takes."""

    layers: PositiveInt
    """Transformer blocks."""
    width: PositiveInt
    """Size of the hidden states."""
    vocabulary: PositiveInt
    """Tokens, each with an embedding."""
    intermediate: PositiveInt
    """Width of the feed-forward layer."""
    query: PositiveInt
    """Width of the queries of all heads."""
    keys: PositiveInt
    """Width of the keys of all heads, and of the values; smaller where heads share them."""
    gated: bool = True
    """Whether the feed-forward layer has a gate (SwiGLU), so three matrices and not two."""
    tied: bool = True
    """Whether the head's weights are the embeddings."""
    positions: int = 0
    """Learned position embeddings; 0 for rotary ones."""
    bytes_per_weight: PositiveInt = 4
    """Size of a stored weight: 2 for bf16 and fp16."""

    @property
    def block(self) -> int:
        """Weights of one block's matrices; norms and biases are too few to count."""
        attention = 2 * self.width * (self.query + self.keys)
        return attention + (3 if self.gated else 2) * self.width * self.intermediate

    @property
    def embeddings(self) -> int:
        """Weights of token and position embeddings."""
        return self.width * (self.vocabulary + self.positions)

    @property
    def parameters(self) -> int:
        """Weights of the whole language model."""
        head = 0 if self.tied else self.width * self.vocabulary
        return self.layers * self.block + self.embeddings + head


_NAMES = {
    "layers": ("num_hidden_layers", "n_layer"),
    "width": ("hidden_size", "n_embd"),
    "vocabulary": ("vocab_size",),
}


def shape_of(values: Mapping[str, Any]) -> ModelShape | None:
    """Return the shape that a ``config.json`` states; None where it lacks a size."""
    found: dict[str, Any] = {}
    for field, names in _NAMES.items():
        found[field] = next((values[name] for name in names if name in values), None)
    gpt2, opt = (values.get("model_type") == name for name in ("gpt2", "opt"))
    width, heads = found["width"], values.get("num_attention_heads", values.get("n_head"))
    if not (type(width) is int and type(heads) is int and heads > 0):
        return None
    head = values.get("head_dim") or width // heads
    inner = values.get("intermediate_size") or values.get("ffn_dim") or values.get("n_inner")
    shared = values.get("num_key_value_heads") or heads
    dtype = values.get("dtype", values.get("torch_dtype"))
    positions = values.get("n_positions", 1024) if gpt2 else 0
    if opt:  # The first two places of its table are never used.
        positions = values.get("max_position_embeddings", 2048) + 2
    try:
        return ModelShape(
            **found,
            intermediate=inner or 4 * width,
            query=head * heads,
            keys=head * shared,
            gated=not (gpt2 or opt),
            tied=values.get("tie_word_embeddings", gpt2 or opt),
            positions=positions,
            bytes_per_weight=2 if dtype in ("bfloat16", "float16") else 4,
        )
    except (ValidationError, TypeError):
        return None
