"""The same weights and token ids give the losses of TRL's trainers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from training_toys import Toy, dpo_config, reward_config

from ablate.algorithms.dpo import PairLogprobs
from ablate.data.preferences import read_pairs
from ablate.models.loading import load_policy, load_reward_model
from ablate.models.logprobs import completion_logprobs
from ablate.spec.stages import KtoConfig
from ablate.training.examples import PairRows, pair_rows
from ablate.training.kto import KtoObjective, KtoReference, crossed_row, crossings_of
from ablate.training.offline import PairObjective
from ablate.training.reward_model import RewardObjective
from ablate.training.sft import SftObjective

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")

ON_CPU: dict[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "report_to": "none",
}
INDICES = list(range(12))
ROW = {
    "prompt": "list 2 fruits",
    "chosen": " a",
    "rejected": " b",
    "completion": " a",
    "label": True,
}
COLUMNS = {"SFT": ["prompt", "completion"], "KTO": ["prompt", "completion", "label"]}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    warnings.simplefilter("ignore")


def rows_of(toy: Toy) -> tuple[Any, PairRows]:
    loaded = load_policy(toy.artifacts["model"] / "model")
    return loaded, pair_rows(loaded.boundary, read_pairs(toy.artifacts["preferences"]), 64)


def made_trainer(name: str, toy: Toy, folder: Path, model: Any, **fields: Any) -> Any:
    config_fields = {key: fields.pop(key) for key in list(fields) if key != "ref_model"}
    config = getattr(trl, f"{name}Config")(output_dir=str(folder), **ON_CPU, **config_fields)
    return getattr(trl, f"{name}Trainer")(
        model=model,
        args=config,
        train_dataset=datasets.Dataset.from_list([ROW, ROW]).select_columns(
            COLUMNS.get(name, ["prompt", "chosen", "rejected"])
        ),
        processing_class=load_policy(toy.artifacts["sft"] / "model").tokenizer,
        **fields,
    )


def test_dpo_loss_equals_trl(toy: Toy, tmp_path: Path) -> None:
    loaded, rows = rows_of(toy)
    reference_model = load_policy(toy.artifacts["sft"] / "model").model
    trainer = made_trainer(
        "DPO",
        toy,
        tmp_path,
        loaded.model,
        ref_model=reference_model,
        beta=0.3,
    )
    pairs = [
        {
            "prompt_ids": list(rows.chosen[i].prompt),
            "chosen_ids": list(rows.chosen[i].completion),
            "rejected_ids": list(rows.rejected[i].completion),
        }
        for i in INDICES
    ]
    theirs = trainer.compute_loss(trainer.model, trainer.data_collator(pairs))
    sums = completion_logprobs(reference_model, rows.of(INDICES), grad=False).logprobs.sum(dim=1)
    reference = PairLogprobs(*sums.chunk(2))
    config = dpo_config(beta=0.3)
    objective = PairObjective(loaded.model.eval(), rows, reference, config)
    ours = objective.share(INDICES, objective.weight(INDICES))
    assert abs(ours.loss.item() - 0.6931) > 1e-3, "policy and reference must differ"
    torch.testing.assert_close(ours.loss, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("trained", ["model", "sft"])
def test_kto_loss_equals_trl(toy: Toy, tmp_path: Path, trained: str) -> None:
    """From either side, so that the baseline is above 0 once and clamped once."""
    held = "sft" if trained == "model" else "model"
    loaded, reference = (load_policy(toy.artifacts[name] / "model") for name in (trained, held))
    rows = pair_rows(loaded.boundary, read_pairs(toy.artifacts["preferences"]), 64)
    trainer = made_trainer(
        "KTO", toy, tmp_path, loaded.model, ref_model=reference.model,
        beta=0.3, desirable_weight=1.5, per_device_train_batch_size=2,
    )  # fmt: skip
    examples = rows.both()
    batch = [*INDICES, *(len(rows.chosen) + i for i in INDICES[:6])]
    crossings = crossings_of(examples, batch)
    theirs = trainer.compute_loss(
        trainer.model,
        trainer.data_collator(
            [
                {
                    "prompt_ids": list(examples[i].prompt),
                    "completion_ids": list(examples[i].completion),
                    "KL_completion_ids": list(examples[j].completion),
                    "label": i < len(rows.chosen),
                }
                for i, j in crossings
            ]
        ),
    )
    own, crossed = (
        completion_logprobs(reference.model, some, grad=False).logprobs.sum(dim=1)
        for some in (examples, [crossed_row(examples, crossing) for crossing in crossings])
    )
    frozen = KtoReference(own, dict(zip(crossings, crossed.tolist(), strict=True)))
    config = KtoConfig(beta=0.3, desirable_weight=1.5)
    objective = KtoObjective(loaded.model.eval(), examples, frozen, config)
    step = objective.weight(batch)
    assert (step.baseline.item() > 0) == (trained == "sft")
    torch.testing.assert_close(objective.share(batch, step).loss, theirs, atol=1e-5, rtol=0)


def test_reward_model_loss_equals_trl(toy: Toy, tmp_path: Path) -> None:
    _, rows = rows_of(toy)
    model = load_reward_model(toy.artifacts["reward_model"] / "model").model
    trainer = made_trainer("Reward", toy, tmp_path, model, center_rewards_coefficient=0.01)
    pairs = [
        {
            side: list(row.prompt + row.completion)
            for side, row in (("chosen_ids", rows.chosen[i]), ("rejected_ids", rows.rejected[i]))
        }
        for i in INDICES
    ]
    theirs = trainer.compute_loss(trainer.model, trainer.data_collator(pairs))
    objective = RewardObjective(model.eval(), rows, reward_config(centering_coef=0.01))
    ours = objective.share(INDICES, 12.0)
    torch.testing.assert_close(ours.loss, theirs, atol=1e-5, rtol=0)


def test_sft_loss_equals_trl(toy: Toy, tmp_path: Path) -> None:
    loaded, rows = rows_of(toy)
    trainer = made_trainer("SFT", toy, tmp_path, loaded.model)
    examples = [
        {
            "input_ids": list(row.prompt + row.completion),
            "labels": [-100] * len(row.prompt) + list(row.completion),
        }
        for row in rows.chosen[:12]
    ]
    theirs = trainer.compute_loss(trainer.model, trainer.data_collator(examples))
    objective = SftObjective(loaded.model.eval(), rows.chosen)
    ours = objective.share(INDICES, objective.weight(INDICES))
    torch.testing.assert_close(ours.loss, theirs, atol=1e-5, rtol=0)
