"""Every algorithm that learns from fixed pairs, on the toy."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor
from training_toys import RUNS, Toy, metrics

from ablate.algorithms.dpo import PairLogprobs
from ablate.data.preferences import read_pairs, write_pairs
from ablate.errors import StageError
from ablate.models.boundary import Row
from ablate.models.loading import LoadedModel, load_policy
from ablate.spec.offline import OfflineConfig
from ablate.spec.policies import Budget
from ablate.spec.stages import ALGORITHMS, LoraConfig
from ablate.store.workspace import Workspace
from ablate.training.examples import PairRows, pair_rows
from ablate.training.kto import (
    CACHE,
    KtoObjective,
    KtoReference,
    crossed_row,
    crossings_of,
    kto_batches,
)
from ablate.training.offline import PairObjective
from ablate.training.order import chunks
from ablate.training.policy import LOOPS
from ablate.training.trainable import Trainable

CONFIGS: dict[str, type[OfflineConfig]] = {
    name: cls for name, cls in ALGORITHMS.items() if issubclass(cls, OfflineConfig)
}
BATCH = list(range(13))
METRICS = {
    "step", "loss", "reward_chosen", "reward_rejected", "reward_margin", "accuracy",
    "gradient_weight", "logp_chosen", "logp_rejected", "length_chosen", "length_rejected",
    "grad_norm", "learning_rate", "used_preferences",
}  # fmt: skip


def config_of(name: str, **fields: Any) -> Any:
    """Twelve steps of eight pairs, or of sixteen examples."""
    return CONFIGS[name](
        **{
            "epochs": 2, "batch_size": 16 if name == "kto" else 8, "learning_rate": 1e-3,
            "max_length": 64, "checkpoint_every_steps": 3, **fields,
        }
    )  # fmt: skip


def files(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def weights(folder: Path) -> dict[str, Tensor]:
    stored: dict[str, Tensor] = safetensors.torch.load_file(folder / "model" / "model.safetensors")
    return stored


def loaded_rows(toy: Toy) -> tuple[LoadedModel, PairRows]:
    loaded = load_policy(toy.artifacts["sft"] / "model")
    return loaded, pair_rows(loaded.boundary, read_pairs(toy.artifacts["preferences"]), 64)


def plain_sum(model: Any, row: Row) -> float:
    """Sum a completion's log-probabilities from the logits of one unpadded forward pass."""
    table = model(torch.tensor([row.prompt + row.completion])).logits[0].double().log_softmax(-1)
    start = len(row.prompt) - 1
    picked = [table[start + t, token] for t, token in enumerate(row.completion)]
    return float(torch.stack(picked).sum().item())


def test_every_offline_configuration_has_a_loop() -> None:
    assert len(CONFIGS) == 12
    assert set(CONFIGS.values()) <= set(LOOPS)


@pytest.mark.parametrize("name", CONFIGS)
def test_an_offline_run_logs_the_same_metrics_and_counts_each_pair_once(
    toy: Toy, name: str
) -> None:
    workspace = toy.run("policy", config_of(name))
    lines = metrics(workspace)
    assert len(lines) == 12
    extra = {"kl_baseline"} if name == "kto" else set()
    assert all(set(line) == METRICS | extra for line in lines)
    used = [line["used_preferences"] for line in lines]
    # 48 pairs in 6 steps an epoch; of KTO's examples both sides count as one pair.
    assert used == sorted(used) and set(used[5:]) == {48.0}
    if name != "kto":
        assert used[:6] == [8.0, 16.0, 24.0, 32.0, 40.0, 48.0]
    assert workspace.counts["preferences"] == 48
    summary = json.loads((workspace.output / "summary.json").read_text())
    assert summary == {"pairs": 48, "dropped_long": 0, "steps": 12}
    # Each pass is over the same pairs, so that its mean loss can be compared.
    losses = [line["loss"] for line in lines]
    assert sum(losses[6:]) < sum(losses[:6])


AT_THE_START = {
    # loss and gradient weight where policy and reference agree, so that every margin is 0.
    "dpo": ({}, math.log(2), 1 / 2),
    # 0.9 / 2 - 0.1 / 2: flipped labels pull the other way.
    "cdpo": ({"label_smoothing": 0.1}, math.log(2), 0.4),
    # (0.9 ln 2 - 0.1 ln 2) / 0.8, and (0.9 / 2 + 0.1 / 2) / 0.8.
    "robust_dpo": ({"label_smoothing": 0.1}, math.log(2), 0.625),
    # (0 - 1 / (2 * 0.5))^2 = 1; minus its slope in beta times the log-ratio is 2 * 1 / 0.5.
    "ipo": ({"beta": 0.5}, 1.0, 4.0),
    "hinge": ({}, 1.0, 1.0),
    "dpo_norm": ({}, math.log(2), 1 / 2),
    # -log sigmoid(-1) and sigmoid(1).
    "dpo_margin": ({"margin": 1.0}, 1.3132617, 0.7310586),
    # Baseline 0: 1 - sigmoid(0); the slope of the sigmoid at 0.
    "kto": ({}, 1 / 2, 1 / 4),
}


@pytest.mark.parametrize("name", AT_THE_START)
def test_a_run_starts_at_its_reference(toy: Toy, name: str) -> None:
    fields, loss, weight = AT_THE_START[name]
    first = metrics(toy.run("policy", config_of(name, **fields, epochs=1)))[0]
    assert first["reward_margin"] == pytest.approx(0.0, abs=1e-4)
    assert first["loss"] == pytest.approx(loss, abs=1e-4)
    assert first["gradient_weight"] == pytest.approx(weight, abs=1e-3)


@pytest.mark.parametrize("name", ["dpo_reference_free", "simpo", "orpo", "sft_chosen"])
def test_without_a_reference_the_loss_is_one_of_the_policys_log_probabilities(
    toy: Toy, name: str
) -> None:
    loaded, rows = loaded_rows(toy)
    chosen = [plain_sum(loaded.model, rows.chosen[i]) for i in BATCH]
    rejected = [plain_sum(loaded.model, rows.rejected[i]) for i in BATCH]
    n_chosen = [len(rows.chosen[i].completion) for i in BATCH]
    n_rejected = [len(rows.rejected[i].completion) for i in BATCH]
    sides = list(zip(chosen, rejected, strict=True))
    means = [(c / m, r / n) for (c, r), m, n in zip(sides, n_chosen, n_rejected, strict=True)]

    def cost(x: float) -> float:
        return math.log1p(math.exp(-x))

    def odds(x: float) -> float:
        return math.exp(x) / (1 - math.exp(x))

    expected = {
        "dpo_reference_free": sum(cost(0.1 * (c - r)) for c, r in sides) / 13,
        # beta 2 and gamma = 0.5 * 2.
        "simpo": sum(cost(2 * (c - r) - 1) for c, r in means) / 13,
        "orpo": sum(-c + 0.1 * cost(math.log(odds(c) / odds(r))) for c, r in means) / 13,
        # One mean over the tokens of all chosen completions.
        "sft_chosen": -sum(chosen) / sum(n_chosen),
    }
    objective = PairObjective(loaded.model, rows, None, config_of(name))
    share = objective.share(BATCH, objective.weight(BATCH))
    assert share.loss.item() == pytest.approx(expected[name], rel=1e-5)
    assert share.metrics["logp_rejected"].item() == pytest.approx(sum(rejected) / 13, rel=1e-5)
    assert share.metrics["length_rejected"].item() == pytest.approx(sum(n_rejected) / 13)


def objective_of(toy: Toy, name: str) -> tuple[Trainable, Any, list[int]]:
    """Return an objective with an arbitrary reference, and a batch of 13."""
    loaded, rows = loaded_rows(toy)
    trained = Trainable(loaded, None, seed=0)
    config = config_of(name)
    sums = torch.linspace(-9.0, -3.0, 96)
    if name == "kto":
        both = rows.chosen + rows.rejected
        batch = [*range(7), *range(48, 54)]
        crossed = {crossing: -20.0 for crossing in crossings_of(both, batch)}
        objective: Any = KtoObjective(trained.model, both, KtoReference(sums, crossed), config)
        return trained, objective, batch
    reference = PairLogprobs(*sums.chunk(2)) if config.reads_reference else None
    return trained, PairObjective(trained.model, rows, reference, config), BATCH


def gradient(trainable: Trainable, objective: Any, parts: list[list[int]]) -> Any:
    weight = objective.weight([i for part in parts for i in part])
    trainable.model.zero_grad()
    loss, logged = torch.zeros(()), dict[str, float]()
    for micro in parts:
        share = objective.share(micro, weight)
        torch.autograd.backward(share.loss)
        loss = loss + share.loss.detach()
        logged = {name: logged.get(name, 0.0) + x.item() for name, x in share.metrics.items()}
    grads = [p.grad.flatten() for p in trainable.model.parameters() if p.grad is not None]
    return loss, torch.cat(grads), logged


@pytest.mark.parametrize("name", CONFIGS)
def test_d3_the_micro_batch_split_leaves_every_offline_update(toy: Toy, name: str) -> None:
    trainable, objective, batch = objective_of(toy, name)
    loss, whole, logged = gradient(trainable, objective, [batch])
    for size in (1, 4):
        split_loss, split, split_logged = gradient(trainable, objective, chunks(batch, size))
        torch.testing.assert_close(split_loss, loss, rtol=1e-6, atol=1e-6)
        assert (split - whole).norm() < 1e-6 * whole.norm()
        assert split_logged == pytest.approx(logged, rel=1e-4, abs=1e-5)


class Killed(Exception):
    """Stands for a kill between two steps."""


def killed_at(workspace: Workspace, step: int) -> None:
    def report(event: Mapping[str, Any]) -> None:
        if event.get("done") == step:
            raise Killed

    workspace.report = report
    with pytest.raises(Killed):
        RUNS[workspace.stage](workspace)
    workspace.report = lambda event: None


@pytest.mark.parametrize("name", CONFIGS)
def test_a_killed_offline_run_ends_with_the_bytes_of_an_undisturbed_one(
    toy: Toy, name: str
) -> None:
    config = config_of(name, lora=LoraConfig(rank=2, alpha=4.0, dropout=0.2))
    whole = toy.run("policy", config)
    killed = toy.workspace("policy", config)
    killed_at(killed, 8)
    resumed = toy.successor(killed)
    RUNS["policy"](resumed)
    assert files(resumed.output) == files(whole.output)
    assert resumed.counts == whole.counts


@pytest.mark.parametrize("name", CONFIGS)
def test_an_offline_adapter_moves_only_the_adapted_layers(toy: Toy, name: str) -> None:
    lora = LoraConfig(rank=2, targets=("q_proj",))
    run = toy.run("policy", config_of(name, lora=lora, epochs=1, batch_size=16))
    before, after = weights(toy.artifacts["sft"]), weights(run.output)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all("q_proj" in name for name in moved)


@pytest.mark.parametrize("name", ["kto", "orpo"])
def test_long_pairs_are_dropped_and_counted_whatever_the_loss(toy: Toy, name: str) -> None:
    run = toy.run("policy", config_of(name, max_length=14, epochs=1))
    dropped = run.counts["dropped_long"]
    assert 0 < dropped < 48
    assert run.counts["preferences"] == 48 - dropped


def test_a_completion_without_an_end_token_gets_none(toy: Toy) -> None:
    loaded, rows = loaded_rows(toy)
    cut = [Row(row.prompt, row.completion[:-1]) for row in rows.chosen]
    objective = PairObjective(loaded.model, replace(rows, chosen=cut), None, config_of("simpo"))
    share = objective.share([0], objective.weight([0]))
    assert share.metrics["length_chosen"].item() == len(rows.chosen[0].completion) - 1
    assert share.metrics["logp_chosen"].item() == pytest.approx(plain_sum(loaded.model, cut[0]))


def test_an_offset_may_grow_with_the_log_of_the_pairs_own_gap(toy: Toy) -> None:
    loaded, rows = loaded_rows(toy)
    sides = [
        [plain_sum(loaded.model, row) for row in side] for side in (rows.chosen, rows.rejected)
    ]
    reference = PairLogprobs(*map(torch.tensor, sides))
    config = config_of("dpo_margin", margin=2.0, scale_by_gap=True)
    # Margins of 0 against offsets of 2 log(1) = 0, 2 log(e) = 2 and 2 log(0) = -inf.
    gaps = torch.tensor([1.0, math.e, 0.0])
    objective = PairObjective(loaded.model, rows, reference, config, gaps=gaps)
    losses = [objective.share([i], objective.weight([i])).loss.item() for i in range(3)]
    assert losses == pytest.approx([math.log(2), math.log1p(math.e**2), 0.0], abs=1e-4)


def test_gaps_come_from_the_data_or_are_missed_before_training(toy: Toy, tmp_path: Path) -> None:
    pairs = read_pairs(toy.artifacts["preferences"])
    config = config_of("dpo_margin", scale_by_gap=True, epochs=1)
    write_pairs([replace(pair, margin=math.e) for pair in pairs], tmp_path)
    run = toy.run("policy", config, preferences=tmp_path)
    assert metrics(run)[0]["loss"] == pytest.approx(1.3132617, abs=1e-4)  # offset 1 * log(e)
    write_pairs([replace(pair, margin=None) for pair in pairs], tmp_path)
    with pytest.raises(StageError, match="48 of 48 pairs have no margin") as caught:
        toy.run("policy", config, preferences=tmp_path)
    assert caught.value.kind == "bad_data"


def test_d7_the_baseline_is_the_mean_log_ratio_of_mismatched_completions(toy: Toy) -> None:
    _, objective, batch = objective_of(toy, "kto")
    rows, model = objective.rows, objective.model
    crossings = crossings_of(rows, batch)
    assert all(rows[i].prompt != rows[j].prompt for i, j in crossings)
    ratios = [plain_sum(model, crossed_row(rows, crossing)) + 20.0 for crossing in crossings]
    expected = max(sum(ratios) / len(ratios), 0.0)
    assert objective.weight(batch).baseline.item() == pytest.approx(expected, abs=1e-3)
    # A completion too long under its new prompt has no reference number and is left out.
    kept = dict(list(objective.reference.crossed.items())[:5])
    objective.reference = replace(objective.reference, crossed={**kept})
    expected = max(sum(ratios[:5]) / 5, 0.0)
    assert objective.weight(batch).baseline.item() == pytest.approx(expected, abs=1e-3)
    objective.reference = replace(objective.reference, crossed={})
    assert objective.weight(batch).baseline.item() == 0.0


def test_kto_means_over_a_side_that_a_batch_lacks_are_undefined(toy: Toy) -> None:
    _, objective, _ = objective_of(toy, "kto")
    share = objective.share([0, 1, 2], objective.weight([0, 1, 2]))
    assert math.isfinite(share.metrics["reward_chosen"].item())
    assert math.isnan(share.metrics["reward_rejected"].item())
    assert math.isfinite(share.loss.item())


def test_every_batch_of_kto_has_two_prompts(toy: Toy) -> None:
    _, rows = loaded_rows(toy)
    both = rows.chosen[:9] + rows.rejected[:9]
    batches = kto_batches(both, config_of("kto", batch_size=2, epochs=3))
    assert all(len({both[i].prompt for i in batch}) > 1 for batch in batches)
    seen = sorted(i for batch in batches for i in batch)
    assert seen == sorted(3 * list(range(18)))
    with pytest.raises(StageError, match="2 examples of one prompt") as caught:
        kto_batches([rows.chosen[0], rows.rejected[0]], config_of("kto"))
    assert caught.value.kind == "bad_data"


def test_kto_stays_close_to_another_reference_where_one_is_given(toy: Toy) -> None:
    config = config_of("kto", epochs=1)
    base = toy.artifacts["model"]
    first = metrics(toy.run("policy", config, reference_policy=base))[0]
    assert abs(first["reward_chosen"]) > 0.01


def test_a_resumed_kto_run_scores_nothing_again(toy: Toy) -> None:
    killed = toy.workspace("policy", config_of("kto"))
    killed_at(killed, 4)
    assert (killed.scratch / CACHE).exists()
    # Were the reference scored again, it would be by another model.
    resumed = toy.successor(killed)
    resumed.inputs = {**resumed.inputs, "reference_policy": toy.artifacts["model"]}
    RUNS["policy"](resumed)
    assert files(resumed.output) == files(toy.run("policy", config_of("kto")).output)


class Ticking(Workspace):
    """A workspace on whose clock every step takes a second."""

    @contextmanager
    def timed(self, activity: str) -> Iterator[None]:
        yield
        self.timings[activity] = self.timings.get(activity, 0.0) + 1.0


def ticking(toy: Toy, config: Any) -> Ticking:
    made = toy.workspace("policy", config)
    return Ticking(made.stage, made.config, made.inputs, made.output, made.scratch)


def test_a_budget_of_seconds_ends_the_stage_and_rules_the_schedule(toy: Toy) -> None:
    budget = Budget(unit="seconds", amount=20.0)
    config = config_of("simpo", budget=budget, epochs=1, warmup_fraction=0.0)
    whole = ticking(toy, config)
    RUNS["policy"](whole)
    lines = metrics(whole)
    # Six batches, taken again and again; the linear rate falls by a twentieth a second.
    assert [line["learning_rate"] for line in lines] == pytest.approx(
        [1e-3 * (1 - second / 20) for second in range(20)]
    )
    assert lines[19]["used_preferences"] == 48 == whole.counts["preferences"]
    killed = ticking(toy, config)
    killed_at(killed, 500)  # Thousandths of the budget: after ten steps.
    resumed = ticking(toy, config)
    (resumed.scratch / "checkpoint.pt").write_bytes((killed.scratch / "checkpoint.pt").read_bytes())
    RUNS["policy"](resumed)
    assert files(resumed.output) == files(whole.output)


def test_a_budget_of_preferences_is_kept_by_the_data(toy: Toy) -> None:
    enough = Budget(unit="preferences", amount=48)
    assert (
        toy.run("policy", config_of("simpo", budget=enough, epochs=1)).counts["preferences"] == 48
    )
    with pytest.raises(StageError, match="48 pairs are over the budget of 47") as caught:
        toy.run("policy", config_of("simpo", budget=Budget(unit="preferences", amount=47)))
    assert caught.value.kind == "bad_data"
