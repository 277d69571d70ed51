"""The models of a hub by name: what is known of them, and where this machine finds them."""

import json
import re
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Qwen2Config,
    Qwen3Config,
)

from ablate.errors import StudyError
from ablate.plan.memory import NF4_BYTES
from ablate.plan.model_memory import DTYPES, training_memory, weight_bytes
from ablate.spec.hub import HubModel, chat_template, chat_templates, moving, unpinned
from ablate.spec.load import study_from_text
from ablate.spec.local_files import find_file
from ablate.spec.names import Files, LocalFile, Missing
from ablate.spec.recipes import UnresolvedError
from ablate.spec.registry import hub_models, model_named, registry
from ablate.spec.resolve import resolve
from ablate.spec.shapes import ModelShape, shape_of

ON_HUB = {name: entry for name, entry in registry().models.items() if entry.hub is not None}
COMMIT = "0123456789" * 4
# As the files' config.json state them: names and values that transformers reads.
CONFIGS = {
    "smollm2-360m": LlamaConfig(
        vocab_size=49152, hidden_size=960, intermediate_size=2560, num_hidden_layers=32,
        num_attention_heads=15, num_key_value_heads=5, tie_word_embeddings=True,
    ),
    "mistral-7b": MistralConfig(
        vocab_size=32000, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8, tie_word_embeddings=False,
    ),
    "qwen2.5-0.5b": Qwen2Config(
        vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
        num_attention_heads=14, num_key_value_heads=2, tie_word_embeddings=True,
    ),
    "qwen3-0.6b": Qwen3Config(
        vocab_size=151936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28,
        num_attention_heads=16, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
    ),
    "opt-125m": OPTConfig(
        vocab_size=50272, hidden_size=768, ffn_dim=3072, num_hidden_layers=12,
        num_attention_heads=12, max_position_embeddings=2048, word_embed_proj_dim=768,
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_copies(monkeypatch):
    monkeypatch.delenv("ABLATE_MODEL_DIR", raising=False)


def write_copy(root: Path, hub_id: str) -> Path:
    """Write the files that a lookup reads; nothing here loads weights."""
    folder = root / hub_id
    folder.mkdir(parents=True)
    config = CONFIGS["smollm2-360m"].to_dict() | {"dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def model_of(name: str, **changes):
    """Return the configuration of a model as a study that starts from it has it."""
    settings = {"model": name, "sft": None, "evaluation.suite": "tiny-instruct", **changes}
    found = {("model", name): find_file("model", name, Path())}
    return resolve(settings, Files(found), start="base").model


@pytest.mark.parametrize("name", ON_HUB)
def test_the_shape_has_the_published_number_of_weights(name):
    entry = ON_HUB[name]
    # Norms and biases are missing: a part in a thousand of the smallest, OPT with its biases.
    assert entry.shape.parameters == pytest.approx(entry.hub.parameters, rel=0.01)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_of_the_published_sizes_has_the_published_number_of_weights(name):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(CONFIGS[name])
    assert sum(weight.numel() for weight in model.parameters()) == ON_HUB[name].hub.parameters
    stated = shape_of(CONFIGS[name].to_dict() | {"dtype": "bfloat16"})
    assert stated == ON_HUB[name].shape


def test_no_two_models_share_a_hub_id_or_a_commit():
    commits = [entry.hub.revision for entry in ON_HUB.values() if entry.hub.revision]
    assert len(set(commits)) == len(commits)
    assert len(hub_models()) == len(ON_HUB)


def test_every_model_has_its_template_its_terms_and_three_sizes_of_reward_model():
    for name, entry in ON_HUB.items():
        assert entry.template in chat_templates(), name
        assert entry.hub.license and entry.preset in registry().presets, name
        small, medium, large = entry.sizes.values()
        assert small < medium < large == entry.shape.layers, name


def test_what_meta_and_mistral_release_is_gated_and_the_rest_is_not():
    owners = {entry.hub.id.split("/")[0] for entry in ON_HUB.values() if entry.hub.gated}
    assert owners == {"meta-llama", "mistralai"}


@pytest.mark.parametrize("name", ON_HUB)
def test_a_model_resolves_to_its_commit_or_says_how_to_name_one(name):
    hub, found = ON_HUB[name].hub, find_file("model", name, Path())
    if hub.revision is not None:
        assert found == LocalFile(f"hub:{hub.id}@{hub.revision}", "", "hf")
    else:
        assert isinstance(found, Missing) and found.surroundings
        assert f"Name it as {hub.id}@<commit>" in found.reason


def test_a_copy_below_the_model_folder_is_used_by_content(tmp_path, monkeypatch):
    folder = write_copy(tmp_path, "allenai/tulu-2-7b")
    monkeypatch.setenv("ABLATE_MODEL_DIR", str(tmp_path))
    found = find_file("model", "tulu-2-7b", Path())
    same = find_file("model", "./allenai/tulu-2-7b", tmp_path)
    assert found == same and found.location == str(folder)
    assert re.fullmatch("[0-9a-f]{64}", found.content)
    assert found.shape == ON_HUB["smollm2-360m"].shape
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert find_file("model", "tulu-2-7b", Path()).content != found.content


def test_a_copy_without_a_model_in_it_is_an_error_of_the_surroundings(tmp_path, monkeypatch):
    (tmp_path / "allenai/tulu-2-7b").mkdir(parents=True)
    monkeypatch.setenv("ABLATE_MODEL_DIR", str(tmp_path))
    found = find_file("model", "tulu-2-7b", Path())
    assert isinstance(found, Missing) and found.surroundings
    assert "has no config.json" in found.reason


def test_a_gated_model_says_so_with_its_terms():
    gated = HubModel(id="o/m", revision=None, license="llama2", gated=True, parameters=1)
    assert "o/m is gated (licence llama2): accept its terms" in unpinned("name", gated)
    assert "gated" not in unpinned("name", gated.model_copy(update={"gated": False}))


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:8], COMMIT.replace("0", "A"), ""])
def test_a_revision_that_is_no_commit_is_refused(revision):
    assert "40 hexadecimal digits are needed" in (moving(f"o/m@{revision}") or "")
    with pytest.raises(StudyError, match="names no commit"):
        study_from_text(f"study: s\nbase: {{model: 'o/m@{revision}'}}\ngrid: {{seed: [1]}}\n")


@pytest.mark.parametrize("name", [f"o/m@{COMMIT}", "tiny-instruct", "./folder", "mail@host"])
def test_only_hub_ids_are_asked_for_a_commit(name):
    assert moving(name) is None


def test_another_commit_of_a_registered_model_keeps_what_is_known_of_it():
    name = f"meta-llama/Llama-2-7b-hf@{COMMIT}"
    assert model_named(name) is registry().models["llama-2-7b"]
    assert model_named("meta-llama/Llama-2-7b-hf") is None
    model = model_of(name)
    assert (model.content, model.location) == (f"hub:{name}", "")
    assert model.shape == registry().models["llama-2-7b"].shape
    assert model.chat_template == chat_template("tulu")


def test_the_registry_s_template_is_imported_unless_the_study_says_otherwise():
    assert model_of("opt-125m").chat_template == chat_template("tulu")
    kept = model_of("opt-125m", **{"model.chat_template": "chatml"})
    assert kept.chat_template == chat_template("chatml")
    own = model_of("opt-125m", **{"model.chat_template": "{{ messages }}"})
    assert own.chat_template == "{{ messages }}"
    assert model_of("opt-125m", **{"model.chat_template": None}).chat_template is None


def test_a_model_that_brings_its_template_keeps_it():
    assert registry().models["smollm2-135m-instruct"].imported_template is None


def test_a_model_without_a_commit_stops_the_study_and_says_what_to_do():
    with pytest.raises(UnresolvedError, match="the registry knows no commit") as raised:
        model_of("tulu-2-7b")
    assert raised.value.surroundings


SHAPE = ModelShape(
    layers=2, width=8, vocabulary=100, intermediate=16, query=8, keys=4, bytes_per_weight=2
)
BODY, REST = 2 * (128 + 64 + 384), 800  # As in tests/plan/test_memory.py.


def test_the_weights_of_each_dtype_by_hand():
    assert weight_bytes(SHAPE, "fp32") == 4 * (BODY + REST)
    assert weight_bytes(SHAPE, "bf16") == 2 * (BODY + REST)
    # A byte a weight and a scale for each row: 8 + 4 + 4 of attention, 8 and 8 out, 16 and 16 in.
    assert weight_bytes(SHAPE, "int8") == BODY + 4 * 2 * (16 + 16 + 32) + 2 * REST
    assert weight_bytes(SHAPE, "nf4") == NF4_BYTES * BODY + 2 * REST


def test_training_takes_what_its_weights_gradients_and_moments_take():
    rows = {row.stage: row for row in training_memory(ON_HUB["llama-2-7b"].shape)}
    weights = ON_HUB["llama-2-7b"].shape.parameters
    # 4 + 4 + 8 bytes a weight, and less than 5 GB of one row's activations and logits.
    assert 16 * weights < rows["sft"].full < 16 * weights + 5e9
    assert 16 * weights < rows["dpo"].full < 16 * weights + 5e9
    # PPO: policy and value model are trained, the reference (bf16) and reward model (fp32) are not.
    held = (2 * 16 + 2 + 4) * weights
    assert held < rows["ppo"].full < held + 10e9
    # Adapters of rank 16 on q, k, v and o: 32 x 16 x 4 x (4,096 + 4,096) = 17 million weights.
    assert 2 * weights < rows["sft"].lora < 2 * weights + 5e9
    assert rows["sft"].qlora < weight_bytes(ON_HUB["llama-2-7b"].shape, "nf4") + 5e9


@pytest.mark.parametrize("name", ON_HUB)
def test_fewer_bits_take_less_memory_and_adapters_less_than_all_weights(name):
    shape = ON_HUB[name].shape
    sizes = [weight_bytes(shape, dtype) for dtype in DTYPES]
    assert sizes == sorted(sizes, reverse=True)
    for row in training_memory(shape):
        assert row.qlora < row.lora < row.full
