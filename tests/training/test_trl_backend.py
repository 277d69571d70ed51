"""Stages trained by TRL, beside the native ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from training_toys import RUNS, Toy, dpo_config, metrics, reward_config, sft_config

from ablate.errors import StageError
from ablate.spec import stages
from ablate.spec.config import Config
from ablate.spec.training import LoraConfig, TrainingConfig
from ablate.store.workspace import Workspace
from ablate.training.backends.process import Command
from ablate.training.backends.stage import run_elsewhere
from ablate.training.backends.trl_settings import differences, micro_batch

pytest.importorskip("trl")
trl_main = pytest.importorskip("ablate.training.backends.trl_main")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("TQDM_DISABLE", "1")


def in_process(
    command: Command, between: Callable[[], None], keeper: Any = trl_main.Journal
) -> None:
    """Train here: a process of its own would first import TRL for ten seconds."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        trl_main.serve(Path(command.arguments[-1]), keeper)


def trained(toy: Toy, stage: str, config: Config, **replaced: Path) -> Workspace:
    """Return the workspace of a stage that TRL has trained."""
    assert isinstance(config, TrainingConfig) and config.backend == "trl"
    workspace = toy.workspace(stage, config, **replaced)
    run_elsewhere(workspace, config, in_process)
    return workspace


def weights(folder: Path) -> Mapping[str, torch.Tensor]:
    found: Mapping[str, torch.Tensor] = safetensors.torch.load_file(
        folder / "model" / "model.safetensors"
    )
    return found


def kto_config(**fields: Any) -> stages.KtoConfig:
    return stages.KtoConfig(
        **{"epochs": 1, "batch_size": 8, "learning_rate": 3e-4, "max_length": 64, **fields}
    )


def online(cls: type[Config], **fields: Any) -> Config:
    """Three rollout batches of 16 completions, four for each prompt."""
    return cls(
        **{
            "prompts": "tiny-mixed", "prompts_examples": 40, "steps": 3, "rollouts_per_step": 16,
            "batch_size": 16, "samples_per_prompt": 4, "learning_rate": 1e-3, "max_new_tokens": 12,
            "max_prompt_length": 32, "max_length": 64, "temperature": 1.0,
            "missing_eos_score": -3.0, "backend": "trl", **fields,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "config", "start"),
    [
        ("sft", sft_config, "model"),
        ("reward_model", reward_config, "sft"),
        ("policy", dpo_config, "sft"),
        ("policy", kto_config, "sft"),
    ],
)
def test_trl_ends_with_the_weights_of_the_native_loop(
    toy: Toy, stage: str, config: Callable[..., Config], start: str
) -> None:
    """Equal ids, order, optimizer, schedule and reference leave rounding alone.

    48 demonstrations, 48 pairs and 96 unpaired examples fill batches of eight.
    """
    native, theirs = toy.run(stage, config()), trained(toy, stage, config(backend="trl"))
    ours, before = weights(native.output), weights(toy.artifacts[start])
    moved = max(float((ours[n] - w).abs().max()) for n, w in before.items() if n in ours)
    apart = max(float((w - ours[n]).abs().max()) for n, w in weights(theirs.output).items())
    assert moved > 1e-4 and apart < 0.01 * moved
    assert theirs.counts["trained_tokens"] == native.counts["trained_tokens"]
    assert theirs.counts.get("preferences") == native.counts.get("preferences")
    for line, own in zip(metrics(theirs), metrics(native), strict=True):
        assert line["step"] == own["step"]
        assert line["loss"] == pytest.approx(own["loss"], abs=1e-5)
        assert line["grad_norm"] == pytest.approx(own["grad_norm"], rel=1e-3)
    names = {path.name for path in (native.output).iterdir()}
    assert {path.name for path in (theirs.output).iterdir()} == names
    assert theirs.numerics["backend_versions"]["trl"].startswith("1.")


def test_an_adapter_trained_by_trl_is_merged_and_equals_the_native_one(toy: Toy) -> None:
    fields: dict[str, Any] = {"lora": LoraConfig(rank=4, alpha=8.0), "epochs": 1}
    native = toy.run("policy", dpo_config(**fields))
    theirs = trained(toy, "policy", dpo_config(**fields, backend="trl"))
    ours, before = weights(native.output), weights(toy.artifacts["sft"])
    assert weights(theirs.output).keys() == ours.keys() == before.keys()
    moved = max(float((ours[name] - before[name]).abs().max()) for name in before)
    for name, weight in weights(theirs.output).items():
        assert (weight - ours[name]).abs().max() < 0.01 * moved, name


@pytest.mark.parametrize("cls", [stages.RlooConfig, stages.GrpoConfig])
def test_trl_samples_scores_by_the_studys_reward_and_counts_it(toy: Toy, cls: Any) -> None:
    done = trained(toy, "policy", online(cls))
    lines = metrics(done)
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert done.counts["reward_calls"] == 48.0 == lines[-1]["used_reward_calls"]
    assert 48 <= done.counts["generated_tokens"] <= 48 * 12
    before = weights(toy.artifacts["sft"])
    assert any(not torch.equal(w, before[n]) for n, w in weights(done.output).items())
    assert any(found.startswith("sampling:") for found in done.numerics["differences"])


def test_a_budget_ends_a_training_by_trl(toy: Toy) -> None:
    """Of three rollout batches of 16 calls, 32 calls allow two."""
    budget = {"unit": "reward_calls", "amount": 32}
    done = trained(toy, "policy", online(stages.RlooConfig, budget=budget))
    assert done.counts["reward_calls"] == 32.0 and len(metrics(done)) == 2


def test_a_budget_that_no_step_meets_exactly_ends_with_the_step_that_passes_it(toy: Toy) -> None:
    """16 calls a step: 24 are passed by the second, as in the native loop."""
    budget = {"unit": "reward_calls", "amount": 24}
    done = trained(toy, "policy", online(stages.RlooConfig, budget=budget))
    assert done.counts["reward_calls"] == 32.0 and len(metrics(done)) == 2
    assert any(found.startswith("budget:") for found in done.numerics["differences"])


def test_a_training_by_trl_goes_on_from_its_checkpoint_with_the_same_bits(toy: Toy) -> None:
    """Killed after the checkpoint of its sixth step, of twelve."""
    config = dpo_config(backend="trl")
    whole = trained(toy, "policy", config)
    stopped = toy.workspace("policy", config)

    class Killed(trl_main.Journal):  # type: ignore[name-defined,misc]
        def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            super().on_save(args, state, control, **others)
            if state.global_step == 6:
                raise KeyboardInterrupt

    def until_killed(command: Command, between: Callable[[], None]) -> None:
        in_process(command, between, Killed)

    with pytest.raises(KeyboardInterrupt):
        run_elsewhere(stopped, config, until_killed)
    taken: list[int] = []

    class Counted(trl_main.Journal):  # type: ignore[name-defined,misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            taken.append(state.global_step)

    run_elsewhere(stopped, config, lambda command, between: in_process(command, between, Counted))
    assert taken == [7, 8, 9, 10, 11, 12]
    assert metrics(stopped) == metrics(whole)
    for name, weight in weights(stopped.output).items():
        assert torch.equal(weight, weights(whole.output)[name]), name


def test_a_loss_that_is_no_number_is_a_failure_of_its_class(toy: Toy) -> None:
    with pytest.raises(StageError) as raised:
        trained(toy, "policy", dpo_config(backend="trl", learning_rate=1e30, warmup_fraction=0.0))
    assert raised.value.kind == "non_finite_loss"


def test_trl_runs_in_a_process_of_its_own(toy: Toy) -> None:
    done = toy.workspace("policy", dpo_config(backend="trl", epochs=1))
    RUNS["policy"](done)
    assert len(metrics(done)) == 6


def test_micro_batches_divide_the_batch_and_what_is_not_applied_is_said() -> None:
    assert micro_batch(dpo_config(batch_size=8, micro_batch_size=2)) == 2
    assert micro_batch(dpo_config(batch_size=8, micro_batch_size=3)) == 8
    assert micro_batch(kto_config(micro_batch_size=2)) == 8
    found = differences(kto_config(micro_batch_size=2), uneven=True, several_ends=False)
    assert [text.partition(":")[0] for text in found] == ["batches", "micro_batch_size", "kto"]
