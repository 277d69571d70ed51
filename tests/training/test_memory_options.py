"""Options that trade time or digits for memory: recomputed activations, 4 and 8 bits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_exact_resume import files, killed_at
from torch import Tensor
from training_toys import RUNS, Toy, dpo_config, metrics, ppo_config, sft_config
from transformers import LlamaConfig, LlamaForCausalLM

from ablate.errors import SurroundingsError
from ablate.models.boundary import Row
from ablate.models.loading import LoadedModel, load_policy
from ablate.models.logprobs import completion_logprobs
from ablate.models.recompute import recompute_activations
from ablate.spec.config import Config
from ablate.spec.stages import LoraConfig
from ablate.training.learner import Learner, Share, settings_of
from ablate.training.trainable import Trainable

LORA = LoraConfig(rank=2, alpha=4.0)
NOISY_LORA = LoraConfig(rank=2, alpha=4.0, dropout=0.3)
QLORA = LoraConfig(rank=2, alpha=4.0, quantization="nf4")
IDS = torch.arange(5, 69).reshape(2, 32)
ROWS = [Row((1, 7), tuple(range(8, 28))), Row((1, 7, 9), tuple(range(5, 20)))]


def gradients(
    toy: Toy, lora: LoraConfig | None, *, recompute: bool
) -> tuple[dict[str, Tensor], int]:
    """Return the gradients of a loss, and how many bytes of activations its graph held."""
    loaded = load_policy(toy.artifacts["sft"] / "model")
    trainable = Trainable(loaded, lora, seed=0, recompute=recompute)
    weights = {id(weight.untyped_storage()) for weight in trainable.model.parameters()}
    held: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if id(storage) not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with trainable.noise(0):
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = trainable.model(input_ids=IDS).logits.logsumexp(-1).square().mean()
        torch.autograd.backward(loss)
    found = {name: w.grad for name, w in trainable.named_weights().items() if w.grad is not None}
    assert not trainable.model.training
    return found, sum(held.values())


@pytest.mark.parametrize("lora", [None, LORA, NOISY_LORA], ids=["all", "lora", "noisy-lora"])
def test_recomputed_activations_give_the_same_gradients_from_less_memory(
    toy: Toy, lora: LoraConfig | None
) -> None:
    plain, kept = gradients(toy, lora, recompute=False)
    again, kept_again = gradients(toy, lora, recompute=True)
    assert plain.keys() == again.keys() and len(plain) > 4
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, atol=1e-6, rtol=1e-6)
    # Two blocks' insides are gone; their inputs, the last norm and the logits stay.
    assert kept_again < 0.5 * kept


def test_recomputing_changes_neither_samples_nor_metrics_of_a_stage(toy: Toy) -> None:
    for config in (ppo_config(steps=1), dpo_config(epochs=1)):
        plain = toy.run("policy", config)
        again = toy.run("policy", config.model_copy(update={"activation_checkpointing": True}))
        # A step's numbers differ by the rounding of rows that are no longer packed.
        for line, same in zip(metrics(plain), metrics(again), strict=True):
            assert same == pytest.approx(line, abs=2e-5, rel=1e-4)


def test_blocks_that_cannot_be_computed_again_are_refused() -> None:
    with pytest.raises(SurroundingsError, match="Linear has no blocks"):
        recompute_activations(torch.nn.Linear(2, 2))


CASES: dict[str, tuple[str, Config, int]] = {
    "sft-8bit": ("sft", sft_config(optimizer="adamw_8bit"), 12),
    "dpo-qlora-8bit": ("policy", dpo_config(lora=QLORA, optimizer="adamw_8bit"), 12),
    "ppo-qlora": ("policy", ppo_config(lora=QLORA, value_init="sft"), 5),
}


@pytest.mark.parametrize("name", CASES)
def test_a_killed_run_in_few_bits_ends_with_the_bytes_of_an_undisturbed_one(
    toy: Toy, name: str
) -> None:
    pytest.importorskip("bitsandbytes")
    stage, config, steps = CASES[name]
    whole = toy.run(stage, config)
    killed = toy.workspace(stage, config)
    killed_at(killed, steps // 2 + 1)
    after = toy.successor(killed)
    RUNS[stage](after)
    assert files(after.output) == files(whole.output)
    expected = "adamw-8bit-blockwise" if "8bit" in name else "adamw-fused"
    assert whole.numerics["optimizer"] == expected


def big() -> LoadedModel:
    """Return a model whose matrices are large enough for moments in 8 bits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=1,
                num_attention_heads=2,
            )
        )  # fmt: skip
    boundary: Any = None
    return LoadedModel(model.eval(), None, boundary)


def stepped(loaded: LoadedModel, optimizer: str, steps: int) -> Learner:
    config = sft_config(optimizer=optimizer, warmup_fraction=0.0, schedule="constant")
    learner = Learner(Trainable(loaded, None, seed=0), settings_of(config, steps))
    for _ in range(steps):
        loss = -completion_logprobs(loaded.model, ROWS, grad=True).logprobs.mean()
        learner.update([Share(loss)])
    return learner


def test_moments_in_8_bits_take_a_quarter_and_step_alike() -> None:
    pytest.importorskip("bitsandbytes")
    plain, small = (stepped(big(), name, 8) for name in ("adamw", "adamw_8bit"))
    sizes = []
    for learner in (plain, small):
        state = learner.state()["optimizer"]["state"].values()
        moments = [
            value
            for of_weight in state
            for name, value in of_weight.items()
            if isinstance(value, Tensor) and not name.startswith("qmap") and value.ndim
        ]
        sizes.append(sum(value.nbytes for value in moments))
    # Of 2 x 4 bytes a weight remain 2 x 1, and 4 bytes for each block of 256.
    assert sizes[1] < 0.27 * sizes[0]
    before = dict(big().model.named_parameters())
    for name, weight in plain.weights.items():
        moved = weight - before[name]
        other = small.weights[name] - before[name]
        assert torch.cosine_similarity(moved.flatten(), other.flatten(), dim=0) > 0.95
