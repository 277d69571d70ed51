import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from training_toys import Toy, dpo_config, metrics, ppo_config, reward_config, sft_config

from ablate.algorithms.dpo import PairLogprobs
from ablate.data.preferences import read_pairs
from ablate.errors import StageError
from ablate.models.loading import load_policy, load_reward_model
from ablate.spec.stages import LoraConfig
from ablate.spec.training import DivergenceConfig
from ablate.store.workspace import Workspace
from ablate.training.divergence import Divergence
from ablate.training.examples import pair_rows
from ablate.training.learner import Learner, Share, settings_of
from ablate.training.loop import Objective
from ablate.training.offline import PairObjective
from ablate.training.order import bucketed_batches, chunks, cycled
from ablate.training.reward_model import RewardObjective
from ablate.training.schedule import LearningRate
from ablate.training.sft import SftObjective
from ablate.training.streams import derived_seed, permutation
from ablate.training.trainable import Trainable


def test_the_rate_rises_from_zero_to_its_peak_and_falls_to_zero() -> None:
    rate = LearningRate(peak=1.0, shape="linear", warmup_fraction=0.2, steps=10)
    expected = [1 / 2, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    assert [rate.at(step) for step in range(10)] == pytest.approx(expected)


def test_cosine_is_half_way_down_in_the_middle_and_constant_stays_up() -> None:
    cosine = LearningRate(peak=2.0, shape="cosine", warmup_fraction=0.0, steps=8)
    assert [cosine.at(0), cosine.at(4)] == pytest.approx([2.0, 1.0])
    assert cosine.at(6) == pytest.approx(1.0 + math.cos(0.75 * math.pi))
    constant = LearningRate(peak=2.0, shape="constant", warmup_fraction=0.5, steps=4)
    assert [constant.at(step) for step in range(4)] == [1.0, 2.0, 2.0, 2.0]


def test_every_example_is_seen_once_an_epoch_in_another_order() -> None:
    batches = bucketed_batches(list(range(50)), 8, epochs=2, seed=3)
    assert [len(batch) for batch in batches].count(8) == 12
    first, second = batches[:7], batches[7:]
    for epoch in (first, second):
        assert sorted(index for batch in epoch for index in batch) == list(range(50))
    assert first != second
    assert batches == bucketed_batches(list(range(50)), 8, epochs=2, seed=3)
    assert batches != bucketed_batches(list(range(50)), 8, epochs=2, seed=4)


def test_bucketed_batches_hold_examples_of_similar_length() -> None:
    lengths = [index % 40 + 1 for index in range(960)]

    def padded(batches: Sequence[Sequence[int]]) -> int:
        return sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)

    random_batches = chunks(permutation(960, 0, "baseline"), 16)
    bucketed = bucketed_batches(lengths, 16, epochs=1, seed=0)
    assert padded(bucketed) < 1.1 * sum(lengths) < padded(random_batches)


def test_p9_prompts_come_in_a_new_order_every_pass_and_all_of_them() -> None:
    taken = cycled(10, 0, 30, seed=1)
    passes = [taken[:10], taken[10:20], taken[20:]]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert passes[0] != passes[1]
    # Position alone decides, so a resumed run goes on where it was.
    assert cycled(10, 7, 9, seed=1) == taken[7:16]


def test_streams_differ_by_seed_and_by_purpose() -> None:
    seeds = {derived_seed(s, *purpose) for s in (0, 1) for purpose in (("a",), ("b",), ("a", 1))}
    assert len(seeds) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)


def objectives(toy: Toy) -> dict[str, tuple[Trainable, Objective]]:
    policy = load_policy(toy.artifacts["sft"] / "model")
    rows = pair_rows(policy.boundary, read_pairs(toy.artifacts["preferences"]), 64)
    reward = load_reward_model(toy.artifacts["reward_model"] / "model")
    reference = PairLogprobs(*torch.linspace(-9.0, -3.0, 2 * len(rows.kept)).chunk(2))
    trained = Trainable(policy, None, seed=0)
    scorer = Trainable(reward, None, seed=0)
    return {
        "sft": (trained, SftObjective(trained.model, rows.chosen)),
        "dpo": (trained, PairObjective(trained.model, rows, reference, dpo_config())),
        "reward_model": (scorer, RewardObjective(scorer.model, rows, reward_config())),
    }


def gradient(trainable: Trainable, objective: Objective, size: int) -> tuple[Tensor, Tensor]:
    batch = list(range(13))
    weight = objective.weight(batch)
    trainable.model.zero_grad()
    loss = torch.zeros(())
    for micro in chunks(batch, size):
        share = objective.share(micro, weight)
        torch.autograd.backward(share.loss)
        loss = loss + share.loss.detach()
    grads = [p.grad.flatten() for p in trainable.model.parameters() if p.grad is not None]
    return loss, torch.cat(grads)


@pytest.mark.parametrize("name", ["sft", "dpo", "reward_model"])
@pytest.mark.parametrize("size", [1, 4])
def test_d3_the_micro_batch_split_leaves_loss_and_gradient(toy: Toy, name: str, size: int) -> None:
    trainable, objective = objectives(toy)[name]
    loss, whole = gradient(trainable, objective, 13)
    split_loss, split = gradient(trainable, objective, size)
    torch.testing.assert_close(split_loss, loss, rtol=1e-6, atol=0)
    assert (split - whole).norm() < 1e-6 * whole.norm()


@pytest.mark.parametrize("stage", ["sft", "reward_model", "policy"])
def test_d3_a_run_in_micro_batches_takes_the_same_steps(toy: Toy, stage: str) -> None:
    made: dict[str, Any] = {
        "sft": sft_config, "reward_model": reward_config, "policy": ppo_config
    }  # fmt: skip
    whole = toy.run(stage, made[stage]())
    split = toy.run(stage, made[stage](micro_batch_size=3))
    assert split.numerics["micro_batch_size"] == 3

    assert metrics(split)[0] == pytest.approx(metrics(whole)[0], rel=1e-4, abs=1e-5)


def broken(value: float) -> Share:
    weight = torch.ones((), requires_grad=True)
    return Share(weight * value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_non_finite_loss_stops_before_the_weights_are_spoiled(toy: Toy, value: float) -> None:
    trainable = Trainable(load_policy(toy.artifacts["sft"] / "model"), None, seed=0)
    learner = Learner(trainable, settings_of(sft_config(), 1))
    before = {name: weight.clone() for name, weight in learner.weights.items()}
    with pytest.raises(StageError, match="optimizer step 0: loss is (nan|inf)") as caught:
        learner.update([broken(value)])
    assert caught.value.kind == "non_finite_loss"
    assert all(torch.equal(weight, before[name]) for name, weight in learner.weights.items())


def test_a_diverging_run_fails_as_non_finite(toy: Toy) -> None:
    with pytest.raises(StageError) as caught:
        toy.run("sft", sft_config(learning_rate=1e30, schedule="constant", epochs=4))
    assert caught.value.kind == "non_finite_loss"


BOUND: dict[str, Any] = {"metric": "loss", "above": 0.0, "steps": 3}
"""Any loss of cross entropy is beyond it."""


def test_a_bound_of_the_study_stops_a_run_after_so_many_steps_in_a_row(toy: Toy) -> None:
    with pytest.raises(StageError, match="step 2: loss has been above 0 for 3 steps in a r") as it:
        toy.run("sft", sft_config(divergence=DivergenceConfig(**BOUND)))
    assert it.value.kind == "diverged"


def test_a_bound_that_is_not_reached_changes_nothing(toy: Toy) -> None:
    bound = DivergenceConfig(metric="loss", above=1e6)
    bounded, free = toy.run("sft", sft_config(divergence=bound)), toy.run("sft", sft_config())
    assert metrics(bounded) == metrics(free)


def test_a_resumed_run_counts_the_steps_before_its_checkpoint(tmp_path: Path) -> None:
    config = sft_config(divergence=DivergenceConfig(**BOUND))
    workspace = Workspace("sft", config, {}, tmp_path, tmp_path)
    # Not in a row: steps 0 and 2 to 3 are beyond, NaN at step 1 is not.
    for step, loss in enumerate([0.5, math.nan, 0.5, 0.5]):
        workspace.log_metrics(step, {"loss": loss})
    divergence = Divergence(workspace)
    with pytest.raises(StageError, match="step 4"):
        divergence.look(4, {"loss": 0.1})
    with pytest.raises(StageError, match="'loss' is no step metric here; there are kl") as caught:
        divergence.look(5, {"kl": 0.1})
    assert caught.value.kind == "bad_data"


def test_nothing_long_enough_to_train_on_is_bad_data(toy: Toy) -> None:
    with pytest.raises(StageError, match="0 of 48 demonstrations fit in max_length") as caught:
        toy.run("sft", sft_config(max_length=2))
    assert caught.value.kind == "bad_data"


def test_the_optimizer_is_recorded_because_its_bits_differ(toy: Toy) -> None:
    numerics = toy.run("sft", sft_config()).numerics
    assert numerics["optimizer"] == "adamw-fused"
    assert numerics["dtype"] == "float32"


def test_l6_dropout_is_off_in_training_but_for_an_adapter_that_asks_for_it(toy: Toy) -> None:
    loaded = load_policy(toy.artifacts["sft"] / "model")
    trainable = Trainable(loaded, LoraConfig(rank=2, dropout=0.5), seed=0)
    modules = list(trainable.model.modules())
    assert not any(module.training for module in modules)
    with trainable.noise(0):
        active = {type(module).__name__ for module in modules if module.training}
    assert active == {"Dropout"}
    assert not any(module.training for module in modules)


def test_an_adapter_starts_the_same_whatever_was_drawn_before(toy: Toy) -> None:
    def adapters(seed: int) -> list[Tensor]:
        torch.rand(1)
        loaded = load_policy(toy.artifacts["sft"] / "model")
        return list(Trainable(loaded, LoraConfig(rank=2), seed=seed).named_weights().values())

    assert all(map(torch.equal, adapters(1), adapters(1)))
    assert not all(map(torch.equal, adapters(1), adapters(2)))
