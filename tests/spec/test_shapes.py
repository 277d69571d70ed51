"""Sizes of models as their configuration states them."""

import json

import pytest
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from ablate.spec.local_files import find_file
from ablate.spec.names import LocalFile
from ablate.spec.registry import registry
from ablate.spec.shapes import shape_of

LLAMA = LlamaConfig(
    vocab_size=97, hidden_size=48, intermediate_size=80, num_hidden_layers=3,
    num_attention_heads=6, num_key_value_heads=2, tie_word_embeddings=False,
)  # fmt: skip
GPT2 = GPT2Config(vocab_size=97, n_embd=48, n_layer=3, n_head=4, n_positions=64)


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_the_weights_of_the_matrices_are_all_but_norms_and_biases(config):
    shape = shape_of(config.to_dict())
    model = AutoModelForCausalLM.from_config(config)
    counted = sum(weight.numel() for weight in model.parameters() if weight.ndim == 2)
    assert shape is not None and shape.parameters == counted


def test_smollm2_has_its_135_million_parameters():
    shape = registry().models["smollm2-135m-instruct"].shape
    # 30 x (2 x 576 x (576 + 192) + 3 x 576 x 1536) + 49,152 x 576, and 35,136 weights of norms.
    assert shape is not None and shape.parameters == 134_515_008 - 35_136


def test_a_configuration_without_sizes_has_no_shape():
    assert shape_of({"model_type": "llama"}) is None
    assert shape_of(LLAMA.to_dict() | {"hidden_size": "48"}) is None
    assert shape_of(LLAMA.to_dict() | {"num_attention_heads": 0}) is None


def test_a_model_folder_brings_its_shape(tmp_path):
    values = LLAMA.to_dict() | {"dtype": "bfloat16"}
    (tmp_path / "config.json").write_text(json.dumps(values))
    found = find_file("model", "./.", tmp_path)
    assert isinstance(found, LocalFile)
    assert found.shape == shape_of(values) and found.shape.bytes_per_weight == 2
