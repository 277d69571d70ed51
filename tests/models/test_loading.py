from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from ablate.errors import SurroundingsError
from ablate.models.loading import (
    LoadedModel,
    import_model,
    load_policy,
    load_reward_model,
    new_reward_model,
    save_model,
)
from ablate.spec.stages import ImportedModelConfig

IDS = torch.tensor([[1, 7, 8, 9]])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_saved_policy_loads_with_the_same_logits(
    policy: LoadedModel, make_llama: Callable[..., Any]
) -> None:
    assert torch.equal(policy.model(IDS).logits, make_llama()(IDS).logits)
    assert not policy.model.training


def test_every_loaded_tensor_starts_at_a_multiple_of_64_bytes(policy: LoadedModel) -> None:
    tensors = [*policy.model.parameters(), *policy.model.buffers()]
    assert len(tensors) > 10
    assert {tensor.data_ptr() % 64 for tensor in tensors} == {0}


def test_tied_weights_stay_tied(policy: LoadedModel) -> None:
    model = policy.model
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_saving_twice_gives_the_same_bytes_and_names_no_folder(
    policy: LoadedModel, policy_folder: Path, tmp_path: Path
) -> None:
    save_model(policy.model, policy.tokenizer, tmp_path / "again")
    first, second = contents(policy_folder), contents(tmp_path / "again")
    assert first == second
    needed = {"config.json", "model.safetensors", "tokenizer.json", "generation_config.json"}
    assert needed <= set(first)
    assert not [name for name, data in first.items() if os.fsencode(tmp_path) in data]


def test_the_folder_keeps_the_chat_template(policy: LoadedModel, tokenizer: Any) -> None:
    messages = [{"role": "user", "content": "w1"}]
    assert policy.tokenizer.chat_template == tokenizer.chat_template
    assert policy.boundary.prompt_ids(messages) == (1, 3, 8, 4)


def test_all_end_tokens_survive_and_sampling_filters_do_not(
    make_llama: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    model = make_llama()
    model.generation_config.eos_token_id = [5, 2]
    model.generation_config.top_k = 7
    save_model(model, tokenizer, tmp_path)
    stored = json.loads((tmp_path / "generation_config.json").read_text())
    assert stored["eos_token_id"] == [2, 5]
    assert "top_k" not in stored
    assert load_policy(tmp_path).boundary.end_ids == {2, 5}


def test_weights_load_in_fp32_whatever_the_file_holds(
    make_llama: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    save_model(make_llama().to(torch.bfloat16), tokenizer, tmp_path)
    model = load_policy(tmp_path).model
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_dropout_is_off_even_in_training_mode(
    make_gpt2: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    save_model(make_gpt2(), tokenizer, tmp_path)
    model = load_policy(tmp_path).model.train()
    assert torch.equal(model(IDS).logits, model(IDS).logits)


def test_the_end_token_learns_its_embedding_also_where_it_is_the_padding_token(
    make_llama: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    tokenizer.pad_token = "<eos>"
    save_model(make_llama(pad_token_id=2, tie_word_embeddings=False), tokenizer, tmp_path)
    model = load_policy(tmp_path).model
    torch.autograd.backward(model(torch.tensor([[1, 2, 7]])).logits[0, 2].sum())
    assert model.get_input_embeddings().weight.grad[2].abs().sum() > 0


def test_a_folder_without_a_model_is_an_error_of_the_surroundings(tmp_path: Path) -> None:
    with pytest.raises(SurroundingsError, match="holds no config.json"):
        load_policy(tmp_path)


def test_sliding_windows_are_refused(tokenizer: Any, tmp_path: Path) -> None:
    config = MistralConfig(
        vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, sliding_window=8,
    )  # fmt: skip
    MistralForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(SurroundingsError, match="'mistral' sets sliding_window"):
        load_policy(tmp_path)


def test_a_new_reward_model_keeps_the_policys_first_blocks(
    policy: LoadedModel, policy_folder: Path
) -> None:
    reward = new_reward_model(policy_folder, layers=1, seed=0)
    assert reward.model.config.num_hidden_layers == len(reward.model.model.layers) == 1
    for name, weight in reward.model.model.state_dict().items():
        assert torch.equal(weight, policy.model.model.state_dict()[name]), name
    assert len(new_reward_model(policy_folder, layers=None, seed=0).model.model.layers) == 2


def test_the_head_is_normal_with_variance_one_over_width_plus_one(
    make_llama: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    save_model(make_llama(hidden_size=1024, num_hidden_layers=1), tokenizer, tmp_path)
    weight = new_reward_model(tmp_path, layers=None, seed=0).model.score.weight.detach()
    assert weight.shape == (1, 1024)
    # Sum of squares times 1025 is chi-square with 1024 degrees: sd sqrt(2 * 1024) = 45.
    assert abs(float(weight.square().sum()) * 1025 - 1024) < 4 * 45
    assert abs(float(weight.mean())) < 4 / 1025**0.5 / 1024**0.5


def test_the_head_comes_from_its_seed_and_leaves_the_global_generator_alone(
    policy_folder: Path,
) -> None:
    state = torch.get_rng_state()
    heads = [
        new_reward_model(policy_folder, layers=None, seed=seed).model.score.weight
        for seed in (0, 0, 1)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


def test_a_reward_model_survives_saving(policy_folder: Path, tmp_path: Path) -> None:
    reward = new_reward_model(policy_folder, layers=1, seed=0)
    save_model(reward.model, reward.tokenizer, tmp_path / "reward")
    again = load_reward_model(tmp_path / "reward")
    assert torch.equal(again.model.score.weight, reward.model.score.weight)
    assert again.model.config.architectures == ["LlamaForSequenceClassification"]
    assert again.boundary.end_ids == {2}
    assert {t.data_ptr() % 64 for t in again.model.parameters()} == {0}


@pytest.mark.parametrize("layers", [0, 3])
def test_an_impossible_depth_is_refused(policy_folder: Path, layers: int) -> None:
    with pytest.raises(SurroundingsError, match="the policy has 2 blocks"):
        new_reward_model(policy_folder, layers=layers, seed=0)


def imported(location: Path, **changes: Any) -> ImportedModelConfig:
    return ImportedModelConfig(format="hf", content="sha", location=str(location), **changes)


def test_a_hub_folder_keeps_its_bf16_and_is_computed_in_fp32_on_a_cpu(
    make_llama: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    make_llama().to(torch.bfloat16).save_pretrained(tmp_path / "hub")
    tokenizer.save_pretrained(tmp_path / "hub")
    import_model(imported(tmp_path / "hub", chat_template="<user>"), tmp_path / "model")
    loaded = load_policy(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["dtype"] == "bfloat16"
    assert loaded.boundary.prompt_ids([{"role": "user", "content": "w1"}]) == (3,)
    for name, weight in make_llama().named_parameters():
        assert torch.equal(loaded.model.get_parameter(name), weight.bfloat16().float())


def test_weights_finer_than_the_stated_dtype_are_imported_in_fp32(
    make_llama: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    make_llama().save_pretrained(tmp_path / "hub")
    tokenizer.save_pretrained(tmp_path / "hub")
    stated = json.loads((tmp_path / "hub" / "config.json").read_text()) | {"dtype": "bfloat16"}
    (tmp_path / "hub" / "config.json").write_text(json.dumps(stated))
    import_model(imported(tmp_path / "hub"), tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["dtype"] == "float32"
    found = load_policy(tmp_path / "model").model
    for name, weight in make_llama().named_parameters():
        assert torch.equal(found.get_parameter(name), weight)


def test_an_import_without_chat_template_is_refused(
    make_llama: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    tokenizer.chat_template = None
    make_llama().save_pretrained(tmp_path / "hub")
    tokenizer.save_pretrained(tmp_path / "hub")
    with pytest.raises(SurroundingsError, match="no chat template"):
        import_model(imported(tmp_path / "hub"), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_folder_that_is_no_model_cannot_be_imported(tmp_path: Path) -> None:
    with pytest.raises(SurroundingsError, match="cannot be loaded"):
        import_model(imported(tmp_path), tmp_path / "model")
