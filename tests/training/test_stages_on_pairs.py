"""SFT, reference, reward model and DPO stages on the toy's pairs."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from training_toys import Toy, dpo_config, metrics, reward_config, sft_config

from ablate.data.preferences import read_pairs
from ablate.data.records import Demonstration, Pair, user
from ablate.errors import StageError
from ablate.models.loading import load_policy, load_reward_model
from ablate.spec.stages import EmbeddedModelConfig, ImportedModelConfig, LoraConfig, ReferenceConfig
from ablate.training.base import embedded_model, initialize
from ablate.training.examples import demonstration_rows, pair_rows

DPO_METRICS = {
    "loss", "reward_chosen", "reward_rejected", "reward_margin", "accuracy", "gradient_weight",
    "logp_chosen", "logp_rejected", "length_chosen", "length_rejected", "grad_norm",
    "learning_rate", "used_preferences",
}  # fmt: skip


def weights(folder: Path) -> dict[str, torch.Tensor]:
    path = folder / "model" / "model.safetensors"
    stored: dict[str, torch.Tensor] = safetensors.torch.load_file(path)
    return stored


def summary(folder: Path) -> Any:
    return json.loads((folder / "summary.json").read_text())


def test_t5_every_trained_completion_ends_and_nothing_long_is_cut(toy: Toy) -> None:
    boundary = load_policy(toy.artifacts["sft"] / "model").boundary
    short = Demonstration(user("list 2 fruits"), "sure : apple pear")
    long = Demonstration(user("list 2 fruits"), "sure : apple pear " * 5)
    rows = demonstration_rows(boundary, [short, long], 20)
    assert len(rows) == 1
    assert rows[0].completion[-1] == boundary.end_id


def test_t7_one_rule_drops_the_same_long_examples_in_every_stage(toy: Toy) -> None:
    kept = {
        "reference": toy.run("reference", ReferenceConfig(max_length=14)),
        "reward_model": toy.run("reward_model", reward_config(max_length=14)),
    }
    reference = kept["reference"].output
    kept["policy"] = toy.run("policy", dpo_config(max_length=14), reference=reference)
    dropped = {name: workspace.counts["dropped_long"] for name, workspace in kept.items()}
    assert len(set(dropped.values())) == 1
    assert 0 < dropped["policy"] < 48
    assert summary(reference)["pairs"] == 48 - dropped["policy"]
    assert kept["policy"].counts["preferences"] == 48 - dropped["policy"]


def test_d9_only_the_last_reply_of_a_conversation_is_trained_on(toy: Toy) -> None:
    boundary = load_policy(toy.artifacts["sft"] / "model").boundary
    prompt = (
        *user("list 2 fruits"), {"role": "assistant", "content": "apple pear"},
        *user("list 2 tools"),
    )  # fmt: skip
    rows = pair_rows(boundary, [Pair("x", prompt, "saw", "saw axe")], 64)
    assert rows.chosen[0].completion == boundary.completion_ids("saw")
    assert rows.rejected[0].completion == boundary.completion_ids("saw axe")
    assert rows.chosen[0].prompt == rows.rejected[0].prompt == boundary.prompt_ids(prompt)


def test_l9_l10_reference_sums_belong_to_the_sft_weights_and_to_their_own_rows(toy: Toy) -> None:
    loaded = load_policy(toy.artifacts["sft"] / "model")
    pair = read_pairs(toy.artifacts["preferences"])[5]
    prompt = loaded.boundary.prompt_ids(pair.prompt)
    completion = loaded.boundary.completion_ids(pair.rejected)
    logits = loaded.model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
    expected = sum(logits[len(prompt) - 1 + t, token].item() for t, token in enumerate(completion))
    stored = safetensors.torch.load_file(toy.artifacts["reference"] / "reference.safetensors")
    assert stored["rejected"][5].item() == pytest.approx(expected, abs=1e-4)
    assert stored["chosen"].shape == (48,) and stored["chosen"].dtype == torch.float32


def test_l10_reference_of_other_rows_is_refused(toy: Toy) -> None:
    short = toy.run("reference", ReferenceConfig(max_length=14)).output
    stored = safetensors.torch.load_file(short / "reference.safetensors")
    assert stored["chosen"].isnan().any()
    with pytest.raises(StageError, match="do not line up with 48 pairs") as caught:
        toy.run("policy", dpo_config(), reference=short)
    assert caught.value.kind == "bad_data"


def test_d5_dpo_logs_both_sides_apart_and_starts_at_its_reference(toy: Toy) -> None:
    workspace = toy.run("policy", dpo_config())
    lines = metrics(workspace)
    assert len(lines) == 12
    assert all(set(line) == DPO_METRICS | {"step"} for line in lines)
    first = lines[0]
    # The policy is the reference: margin 0, loss log 2, weight 1/2.
    assert first["reward_margin"] == pytest.approx(0.0, abs=1e-4)
    assert first["loss"] == pytest.approx(0.693147, abs=1e-4)
    assert first["gradient_weight"] == pytest.approx(0.5, abs=1e-4)
    assert first["length_chosen"] > 1.0
    assert lines[-1]["reward_margin"] > 0.02
    assert workspace.counts["preferences"] == 48
    tokens = sum(8 * (line["length_chosen"] + line["length_rejected"]) for line in lines)
    assert workspace.counts["trained_tokens"] == pytest.approx(tokens)


def test_a_falling_chosen_log_probability_is_logged_and_stops_nothing(toy: Toy) -> None:
    lines = metrics(toy.run("policy", dpo_config(learning_rate=3e-2, epochs=4)))
    assert min(line["reward_chosen"] for line in lines) < 0.0
    assert len(lines) == 24


def test_dpo_with_an_adapter_moves_only_the_adapted_layers(toy: Toy) -> None:
    lora = LoraConfig(rank=2, targets=("q_proj",))
    after = weights(toy.run("policy", dpo_config(lora=lora)).output)
    before = weights(toy.artifacts["sft"])
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all("q_proj" in name for name in moved)
    assert set(after) == set(before)


def test_r4_normalized_scores_of_reference_samples_have_mean_0_and_deviation_1(toy: Toy) -> None:
    workspace = toy.run("reward_model", reward_config())
    scale = json.loads((workspace.output / "reward.json").read_text())
    assert scale["gain"] * scale["raw_mean"] + scale["bias"] == pytest.approx(0.0, abs=1e-9)
    assert scale["gain"] * scale["raw_std"] == pytest.approx(1.0)
    assert scale["layers"] == 2
    assert workspace.counts["reward_calls"] == 16
    assert workspace.counts["generated_tokens"] > 16


def test_without_normalization_the_raw_score_is_kept(toy: Toy) -> None:
    output = toy.run("reward_model", reward_config(normalize=False, layers=1)).output
    assert json.loads((output / "reward.json").read_text()) == {
        "gain": 1.0, "bias": 0.0, "raw_mean": None, "raw_std": None, "layers": 1
    }  # fmt: skip
    assert load_reward_model(output / "model").model.config.num_hidden_layers == 1


def test_reward_model_learns_to_rank_its_pairs(toy: Toy) -> None:
    lines = metrics(toy.run("reward_model", reward_config(epochs=12, learning_rate=3e-3)))
    assert set(lines[0]) == {
        "step", "loss", "accuracy", "margin", "score_mean", "grad_norm", "learning_rate"
    }  # fmt: skip
    late = lines[-6:]
    assert sum(line["accuracy"] for line in late) / 6 > 0.75
    assert sum(line["loss"] for line in late) < 0.8 * sum(line["loss"] for line in lines[:6])


def test_r7_the_seed_decides_the_head_and_the_order(toy: Toy) -> None:
    outputs = [toy.run("reward_model", reward_config(seed=seed)).output for seed in (1, 1, 2)]
    heads = [weights(output)["score.weight"] for output in outputs]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_sft_lowers_the_loss_and_counts_completion_tokens(toy: Toy) -> None:
    workspace = toy.run("sft", sft_config(epochs=8, learning_rate=3e-3))
    lines = metrics(workspace)
    assert set(lines[0]) == {"step", "loss", "tokens", "grad_norm", "learning_rate"}
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert workspace.counts["trained_tokens"] == sum(line["tokens"] for line in lines)
    assert summary(workspace.output) == {"demonstrations": 48, "dropped_long": 0, "steps": 48}


def test_the_base_model_is_initialized_by_role(toy: Toy) -> None:
    config = json.loads((toy.artifacts["model"] / "model" / "config.json").read_text())
    assert config["num_hidden_layers"] == 2
    model = embedded_model(EmbeddedModelConfig(hidden_size=64, layers=2)).model
    std = {name: weight.std().item() for name, weight in model.named_parameters()}
    # 64 inputs: 64 ** -0.5 = 0.125; written to the residual stream: halved for 2 layers.
    assert std["model.layers.0.self_attn.q_proj.weight"] == pytest.approx(0.125, rel=0.05)
    assert std["model.layers.0.self_attn.o_proj.weight"] == pytest.approx(0.0625, rel=0.05)
    assert std["model.embed_tokens.weight"] == pytest.approx(0.05, rel=0.05)
    assert "lm_head.weight" not in std, "input and output embeddings are one tensor"
    twin = embedded_model(EmbeddedModelConfig(hidden_size=64, layers=2)).model
    initialize(twin, seed=1)
    assert not torch.equal(twin.get_input_embeddings().weight, model.get_input_embeddings().weight)


def test_an_imported_model_keeps_its_weights(toy: Toy) -> None:
    source = toy.artifacts["sft"] / "model"
    config = ImportedModelConfig(format="hf", content="of-a-test", location=str(source))
    output = toy.run("model", config).output
    before, after = weights(toy.artifacts["sft"]), weights(output)
    assert all(torch.equal(before[name], after[name]) for name in before)
