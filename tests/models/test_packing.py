"""Packed rows give what padded rows give, for less work."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from ablate.models.batching import layout
from ablate.models.boundary import Row
from ablate.models.logprobs import completion_logprobs
from ablate.models.packing import (
    PACKABLE,
    attending,
    packable,
    packed_batches,
    packed_layout,
    packed_states,
)

CPU = torch.device("cpu")
SHAPE: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.3,
    "sliding_window": None,
}
GPT2_SHAPE: dict[str, Any] = {
    "vocab_size": 64,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 128,
    "initializer_range": 0.3,
}


def rows_with_shared_prompts() -> list[Row]:
    """Three replies to one prompt, two to another, one alone; one reply is empty."""
    draw = random.Random(0)

    def ids(n: int) -> tuple[int, ...]:
        return tuple(draw.randrange(6, 64) for _ in range(n))

    first, second, third = ids(9), ids(20), ids(3)
    return [
        Row(first, ids(4)),
        Row(second, ids(30)),
        Row(first, ids(7)),
        Row(third, ids(1)),
        Row(second, ()),
        Row(first, ids(13)),
    ]


def random_model(model_type: str) -> Any:
    config = AutoConfig.for_model(model_type, **(GPT2_SHAPE if model_type == "gpt2" else SHAPE))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()


def padded_logprobs(model: Any, rows: list[Row]) -> Tensor:
    """All rows in one padded batch, full logits."""
    place = layout(rows, CPU)
    logits = model(input_ids=place.ids).logits.flatten(0, 1)[place.before]
    return logits.log_softmax(-1).gather(1, place.tokens[:, None])[: place.n_tokens, 0]


@pytest.mark.parametrize("model_type", sorted(PACKABLE))
def test_packed_equals_padded_in_values_and_gradients(model_type: str) -> None:
    model, rows = random_model(model_type), rows_with_shared_prompts()
    assert packable(model)
    # Each token its own weight, so that a mixed-up gradient cannot hide in a sum.
    weights = torch.linspace(-1.0, 1.0, sum(len(row.completion) for row in rows))
    packed = completion_logprobs(model, rows, grad=True)
    flat = packed.logprobs[packed.mask]
    torch.autograd.backward((flat * weights).sum())
    found = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    padded = padded_logprobs(model, rows)
    torch.autograd.backward((padded * weights).sum())
    torch.testing.assert_close(flat, padded, atol=1e-5, rtol=0)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(found[name], weight.grad, atol=2e-5, rtol=1e-4)


def test_each_distinct_prompt_is_computed_once() -> None:
    place = packed_layout(rows_with_shared_prompts(), CPU)
    assert place.ids.shape == (1, 9 + 20 + 3 + 4 + 30 + 7 + 1 + 13)


def test_a_pack_of_two_rows_with_one_prompt_by_hand() -> None:
    place = packed_layout([Row((5, 6), (7,)), Row((5, 6), (8, 9))], CPU)
    assert place.ids.tolist() == [[5, 6, 7, 8, 9]]
    assert place.packing.positions.tolist() == [[0, 1, 2, 2, 3]]
    # Both first tokens follow the prompt's last state, token 1; 9 follows 8, token 3.
    assert place.tokens[:3].tolist() == [7, 8, 9]
    assert place.before[:3].tolist() == [1, 1, 3]
    assert place.last[:2].tolist() == [2, 4]
    # In attention both rows are 16 cells wide: 5 6 7 and 5 6 8 9.
    assert place.packing.groups == ((2, 16),)
    assert place.packing.tokens[:3].tolist() == [0, 1, 2]
    assert place.packing.tokens[16:20].tolist() == [0, 1, 3, 4]
    assert place.packing.cells.tolist() == [0, 1, 2, 18, 19]
    assert place.packing.copied_cells.tolist() == [16, 17]
    assert place.packing.copied_tokens.tolist() == [0, 1]


def test_rows_that_fill_their_width_and_share_nothing_are_not_copied() -> None:
    rows = [Row((7, 8), tuple(range(6, 20))), Row((9,), tuple(range(6, 21)))]
    assert packed_layout(rows, CPU).packing.alike
    assert not packed_layout([rows[0], Row((9,), (6, 7))], CPU).packing.alike


def test_rows_share_a_pass_with_their_prompt_within_the_limits() -> None:
    a, b = (7,) * 5, (8,) * 5
    rows = [Row(a, (1,) * 5), Row(b, (1,) * 5), Row(a, (2,) * 5), Row(b, (2,) * 5)]
    assert packed_batches(rows) == [[0, 2, 1, 3]]
    assert packed_batches(rows, max_rows=3) == [[0, 2, 1], [3]]
    assert packed_batches(rows, max_tokens=20) == [[0, 2], [1, 3]]
    assert packed_batches(rows, max_tokens=3) == [[0], [2], [1], [3]]
    assert packed_batches([]) == []


def test_a_prompt_without_a_token_is_refused() -> None:
    with pytest.raises(ValueError, match="every prompt needs a token"):
        packed_layout([Row((), (1,))], CPU)


def test_the_model_attends_as_before_afterwards(make_llama: Callable[..., Any]) -> None:
    model = make_llama()
    before = model.config._attn_implementation
    place = packed_layout(rows_with_shared_prompts(), CPU)
    packed_states(model, place)
    assert model.config._attn_implementation == before == "sdpa"
    with pytest.raises(RuntimeError), attending(model.config, place.packing):
        raise RuntimeError
    assert model.config._attn_implementation == before


def test_models_that_recompute_activations_or_are_unknown_are_padded(
    make_llama: Callable[..., Any],
) -> None:
    model = make_llama()
    assert packable(model)
    model.gradient_checkpointing_enable()
    assert not packable(model)
    other = make_llama()
    other.config.model_type = "unheard-of"
    assert not packable(other)
