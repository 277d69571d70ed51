"""QLoRA through bitsandbytes, whose 4-bit layers work on a CPU too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.errors import SurroundingsError
from ablate.models.boundary import Row
from ablate.models.loading import LoadedModel, load_policy, new_reward_model, save_model
from ablate.models.logprobs import completion_logprobs, completion_scores
from ablate.models.lora import apply_lora, merged, without_adapters
from ablate.models.quantized import is_quantized
from ablate.spec.stages import LoraConfig

pytest.importorskip("bitsandbytes")

ROWS = [Row((1, 7), (8, 9, 2)), Row((1, 7, 9), (12, 2))]
CONFIG = LoraConfig(rank=4, alpha=8.0, quantization="nf4")


def logprobs(model: Any) -> torch.Tensor:
    return completion_logprobs(model, ROWS, grad=False).logprobs


def trained(model: Any) -> Any:
    adapted = apply_lora(model, CONFIG, seed=0)
    weights = [weight for weight in adapted.parameters() if weight.requires_grad]
    torch.autograd.backward(completion_logprobs(adapted, ROWS, grad=True).logprobs.sum())
    torch.optim.SGD(weights, lr=0.05).step()
    return adapted


def test_weights_of_the_body_take_half_a_byte_and_adapters_stay_fp32(policy: LoadedModel) -> None:
    adapted = apply_lora(policy.model, CONFIG, seed=0)
    layers = [m for m in adapted.modules() if is_quantized(m)]
    # q, k, v, o, gate, up and down of two blocks; the head and the embeddings are not among them.
    assert len(layers) == 14
    # 32 x 32 (q, o), 32 x 16 (k, v) and 32 x 48 (three) weights a block, two in a byte.
    stored = sum(layer.weight.data.numel() for layer in layers)
    assert stored == 2 * (2 * 1024 + 2 * 512 + 3 * 1536) / 2
    taught = {w.dtype for w in adapted.parameters() if w.requires_grad}
    assert taught == {torch.float32}


def test_the_reference_is_the_quantized_model_without_its_adapters(policy: LoadedModel) -> None:
    before = logprobs(policy.model)
    adapted = apply_lora(policy.model, CONFIG, seed=0)
    start = logprobs(adapted)
    # Weights that are off by some percent make other log-probabilities, but not by much.
    assert 0 < (start - before).abs().max() < 2.0
    weights = [weight for weight in adapted.parameters() if weight.requires_grad]
    torch.autograd.backward(completion_logprobs(adapted, ROWS, grad=True).logprobs.sum())
    torch.optim.SGD(weights, lr=0.05).step()
    assert not torch.allclose(logprobs(adapted), start, atol=1e-3)
    with without_adapters(adapted) as reference:
        assert torch.equal(logprobs(reference), start)


def test_a_saved_policy_is_a_plain_folder_with_the_same_log_probabilities(
    policy: LoadedModel, tmp_path: Path
) -> None:
    adapted = trained(policy.model)
    before = logprobs(adapted)
    save_model(adapted, policy.tokenizer, tmp_path / "merged")
    again = load_policy(tmp_path / "merged").model
    assert not any(is_quantized(module) for module in again.modules())
    assert {weight.dtype for weight in again.parameters()} == {torch.float32}
    torch.testing.assert_close(logprobs(again), before, atol=1e-4, rtol=0)
    assert torch.equal(logprobs(adapted), before)  # saving left the trained model as it was


def test_a_quantized_reward_model_trains_its_head(policy_folder: Path) -> None:
    reward = new_reward_model(policy_folder, layers=1, seed=0)
    adapted = apply_lora(reward.model, CONFIG, seed=0)
    torch.autograd.backward(completion_scores(adapted, ROWS, grad=True).sum())
    heads = [w for name, w in adapted.named_parameters() if "score" in name and w.requires_grad]
    assert len(heads) == 1 and heads[0].grad is not None
    plain = merged(adapted)
    torch.testing.assert_close(
        completion_scores(plain, ROWS), completion_scores(adapted, ROWS), atol=1e-5, rtol=0
    )


def test_a_model_without_linear_layers_is_refused(make_gpt2: Callable[..., Any]) -> None:
    config = LoraConfig(rank=2, targets=("c_attn",), quantization="nf4")
    with pytest.raises(SurroundingsError, match="no linear layers that can be held in 4 bits"):
        apply_lora(make_gpt2(), config, seed=0)
