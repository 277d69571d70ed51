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
from ablate.models.lora import apply_lora, is_lora, merged, without_adapters
from ablate.models.sampling import Request, SamplingParams, sample
from ablate.spec.stages import LoraConfig

ROWS = [Row((1, 7), (8, 9, 2)), Row((1, 7, 9), (12, 2))]
CONFIG = LoraConfig(rank=4, alpha=8.0)


def logprobs(model: Any) -> torch.Tensor:
    return completion_logprobs(model, ROWS, grad=False).logprobs


def trained(model: Any) -> Any:
    """Return an adapted model after one step, so that its adapters do something."""
    adapted = apply_lora(model, CONFIG, seed=0)
    weights = [weight for weight in adapted.parameters() if weight.requires_grad]
    torch.autograd.backward(completion_logprobs(adapted, ROWS, grad=True).logprobs.sum())
    torch.optim.SGD(weights, lr=0.05).step()
    return adapted


def test_new_adapters_change_nothing_and_alone_are_trained(policy: LoadedModel) -> None:
    before = logprobs(policy.model)
    adapted = apply_lora(policy.model, CONFIG, seed=0)
    assert torch.equal(logprobs(adapted), before)
    names = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    # Two matrices on each of four layers in two blocks.
    assert len(names) == 16 and all("lora_" in name for name in names)


def test_the_reference_is_the_model_without_its_adapters(policy: LoadedModel) -> None:
    before = logprobs(policy.model)
    adapted = trained(policy.model)
    after = logprobs(adapted)
    assert not torch.allclose(after, before, atol=1e-3)
    with without_adapters(adapted) as reference:
        assert torch.equal(logprobs(reference), before)
    assert torch.equal(logprobs(adapted), after)


def test_a_saved_policy_holds_its_adapters_in_its_weights(
    policy: LoadedModel, tmp_path: Path
) -> None:
    adapted = trained(policy.model)
    save_model(adapted, policy.tokenizer, tmp_path / "merged")
    again = load_policy(tmp_path / "merged").model
    assert not is_lora(again) and is_lora(adapted)  # saving left the trained model as it was
    torch.testing.assert_close(logprobs(again), logprobs(adapted), atol=1e-5, rtol=0)


def test_the_sampler_uses_the_adapters(policy: LoadedModel) -> None:
    adapted = trained(policy.model)
    params = SamplingParams(10, 1.0, seed=0)
    completion = sample(adapted, policy.boundary, [Request((1, 7))], params)[0]
    row = [Row((1, 7), completion.tokens)]
    expected = completion_logprobs(adapted, row, grad=False).logprobs[0]
    torch.testing.assert_close(completion.logprobs, expected, atol=1e-5, rtol=0)


def test_adapters_come_from_their_seed_and_leave_the_global_generator_alone(
    policy_folder: Path,
) -> None:
    state = torch.get_rng_state()
    first, same, other = (
        apply_lora(load_policy(policy_folder).model, CONFIG, seed=seed).state_dict()
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    random_half = [name for name in first if "lora_A" in name]
    assert all(torch.equal(first[name], same[name]) for name in random_half)
    assert not any(torch.equal(first[name], other[name]) for name in random_half)


def test_an_adapted_reward_model_trains_its_head_too(policy_folder: Path) -> None:
    reward = new_reward_model(policy_folder, layers=1, seed=0)
    before = completion_scores(reward.model, ROWS)
    adapted = apply_lora(reward.model, CONFIG, seed=0)
    torch.testing.assert_close(completion_scores(adapted, ROWS), before)
    torch.autograd.backward(completion_scores(adapted, ROWS, grad=True).sum())
    heads = [w for name, w in adapted.named_parameters() if "score" in name and w.requires_grad]
    assert len(heads) == 1 and heads[0].grad is not None
    torch.testing.assert_close(completion_scores(merged(adapted), ROWS), before)


def test_a_model_without_adapters_has_no_reference_in_it(policy: LoadedModel) -> None:
    assert merged(policy.model) is policy.model
    with pytest.raises(ValueError, match="no adapters"), without_adapters(policy.model):
        pass


def test_unknown_layers_are_refused_with_the_names_there_are(policy: LoadedModel) -> None:
    with pytest.raises(SurroundingsError, match="no layer named c_attn; it has .*q_proj"):
        apply_lora(policy.model, LoraConfig(targets=("c_attn",)), seed=0)


def test_layers_of_gpt2_get_adapters_by_their_own_names(make_gpt2: Callable[..., Any]) -> None:
    model = make_gpt2()
    before = logprobs(model)
    adapted = apply_lora(model, LoraConfig(rank=2, targets=("c_attn", "c_proj")), seed=0)
    assert torch.equal(logprobs(adapted), before)
    weights = [weight for weight in adapted.parameters() if weight.requires_grad]
    # c_attn, and c_proj of attention and MLP, in two blocks, two matrices each.
    assert len(weights) == 12
    torch.autograd.backward(completion_logprobs(adapted, ROWS, grad=True).logprobs.sum())
    torch.optim.SGD(weights, lr=0.05).step()
    after = logprobs(adapted)
    assert not torch.allclose(after, before, atol=1e-3)
    torch.testing.assert_close(logprobs(merged(adapted)), after, atol=1e-5, rtol=0)


def test_adapters_are_merged_in_fp32_where_the_frozen_weights_are_bf16(policy: LoadedModel) -> None:
    adapted = apply_lora(policy.model.bfloat16(), CONFIG, seed=0)
    taught = {name: w for name, w in adapted.named_parameters() if w.requires_grad}
    assert {weight.dtype for weight in taught.values()} == {torch.float32}
    with torch.no_grad():
        for name, weight in taught.items():
            if "lora_B" in name:
                weight.fill_(1e-4)  # Far below the 8 bits of a bf16 weight near 0.3.
    layer = adapted.get_base_model().model.layers[0].self_attn.q_proj
    whole = layer.base_layer.weight.float() + layer.get_delta_weight("default").float()
    plain = merged(adapted).model.layers[0].self_attn.q_proj.weight
    torch.testing.assert_close(plain, whole, atol=1e-7, rtol=0)
    assert not torch.equal(plain, plain.bfloat16().float())
