"""The equations give the losses and gradients of TRL's trainers on the same weights and tokens."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from training_toys import Toy

from ablate.algorithms import pairwise
from ablate.algorithms.baselines import group_relative_advantages, leave_one_out_advantages
from ablate.algorithms.bradley_terry import bradley_terry_loss
from ablate.algorithms.dpo import PairLogprobs, dpo_loss, implicit_rewards
from ablate.algorithms.kto import kl_baseline, kto_loss, mismatched
from ablate.algorithms.policy_gradient import (
    Normalization,
    Samples,
    StepTotals,
    kl_loss,
    sequence_clipped_loss,
    token_clipped_loss,
    token_weights,
)
from ablate.data.preferences import read_pairs
from ablate.models.boundary import Row
from ablate.models.loading import load_policy, load_reward_model
from ablate.models.logprobs import completion_logprobs, completion_mask, completion_scores
from ablate.training.examples import PairRows, pair_rows

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")

BETA = 0.3
PAIRS = range(8)
SETTINGS: dict[str, Any] = {
    "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none",
}  # fmt: skip
Prepared = tuple[PairLogprobs, PairLogprobs, PairLogprobs]
"""Policy sums, reference sums and lengths."""


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "TRL_EXPERIMENTAL_SILENCE"):
        monkeypatch.setenv(name, "1")
    warnings.simplefilter("ignore")


@pytest.fixture
def policy(toy: Toy) -> Any:
    return load_policy(toy.artifacts["model"] / "model")


@pytest.fixture
def reference(toy: Toy) -> Any:
    return load_policy(toy.artifacts["sft"] / "model").model


@pytest.fixture
def rows(toy: Toy, policy: Any) -> PairRows:
    return pair_rows(policy.boundary, read_pairs(toy.artifacts["preferences"]), 64)


def made_trainer(name: str, folder: Path, policy: Any, *, config: Any = None, **fields: Any) -> Any:
    """Make a trainer whose data set holds one example; batches are handed to it by the tests."""
    row = {"prompt": "a", "chosen": " b", "rejected": " c", "completion": " b", "label": True}
    columns = {
        "DPO": ["prompt", "chosen", "rejected"],
        "Reward": ["prompt", "chosen", "rejected"],
        "KTO": ["prompt", "completion", "label"],
    }
    settings = getattr(trl, f"{name}Config")(output_dir=str(folder), **SETTINGS, **(config or {}))
    return getattr(trl, f"{name}Trainer")(
        model=policy.model,
        args=settings,
        train_dataset=datasets.Dataset.from_list([row, row]).select_columns(
            columns.get(name, ["prompt"])
        ),
        processing_class=policy.tokenizer,
        **fields,
    )


def sums(model: Any, rows: Sequence[Row], *, grad: bool = False) -> Tensor:
    return completion_logprobs(model, rows, grad=grad).logprobs.sum(dim=1)


def assert_same(ours: Tensor, theirs: Tensor, model: Any) -> None:
    """Losses and all gradients agree, and neither is trivial."""
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    found = torch.autograd.grad(ours, weights, retain_graph=True)
    expected = torch.autograd.grad(theirs, weights, retain_graph=True)
    assert max(slope.abs().max().item() for slope in expected) > 1e-3
    for slope, other in zip(found, expected, strict=True):
        torch.testing.assert_close(slope, other, atol=1e-5, rtol=1e-5)


def rewards_of_sums(sides: Prepared) -> Any:
    return implicit_rewards(sides[0], sides[1], beta=BETA)


def rewards_of_means(sides: Prepared) -> Any:
    policy, reference, lengths = sides
    means = pairwise.per_token(policy, lengths), pairwise.per_token(reference, lengths)
    return implicit_rewards(*means, beta=BETA)


PAIR_LOSSES: dict[str, Callable[[Prepared], Tensor]] = {
    "sigmoid": lambda sides: dpo_loss(rewards_of_sums(sides)),
    "robust": lambda sides: pairwise.robust_dpo_loss(rewards_of_sums(sides), label_smoothing=0.1),
    "hinge": lambda sides: pairwise.hinge_loss(rewards_of_sums(sides)),
    "ipo": lambda sides: pairwise.ipo_loss(rewards_of_means(sides), beta=BETA),
    "sigmoid_norm": lambda sides: dpo_loss(rewards_of_means(sides)),
}


@pytest.mark.parametrize("loss", PAIR_LOSSES)
def test_losses_of_pairs_equal_trl(
    loss: str, tmp_path: Path, policy: Any, reference: Any, rows: PairRows
) -> None:
    smoothing = 0.1 if loss == "robust" else 0.0
    config = {"loss_type": loss, "beta": BETA, "label_smoothing": smoothing}
    trainer = made_trainer("DPO", tmp_path, policy, config=config, ref_model=reference)
    batch = [
        {
            "prompt_ids": list(rows.chosen[i].prompt),
            "chosen_ids": list(rows.chosen[i].completion),
            "rejected_ids": list(rows.rejected[i].completion),
        }
        for i in PAIRS
    ]
    theirs = trainer.compute_loss(trainer.model, trainer.data_collator(batch))
    both = rows.of(PAIRS)
    lengths = torch.tensor([len(row.completion) for row in both])
    sides = (
        PairLogprobs(*sums(policy.model.eval(), both, grad=True).chunk(2)),
        PairLogprobs(*sums(reference, both).chunk(2)),
        PairLogprobs(*lengths.chunk(2)),
    )
    assert_same(PAIR_LOSSES[loss](sides).mean(), theirs, policy.model)


def means() -> PairLogprobs:
    """Mean log-probabilities from nearly certain to very unlikely."""
    chosen = torch.tensor([-1e-4, -0.3, -1.0, -6.0], requires_grad=True)
    rejected = torch.tensor([-2.0, -1e-3, -0.9, -0.1], requires_grad=True)
    return PairLogprobs(chosen, rejected)


def assert_same_slopes(ours: Tensor, theirs: Tensor, sides: PairLogprobs) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    found = torch.autograd.grad(ours.sum(), sides, retain_graph=True)
    expected = torch.autograd.grad(theirs.sum(), sides)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_odds_ratio_of_orpo_equals_trl() -> None:
    from trl.experimental.orpo import ORPOTrainer

    sides = means()
    settings = SimpleNamespace(beta=BETA, accelerator=SimpleNamespace(device="cpu"))
    bonus, *_ = ORPOTrainer.odds_ratio_loss(settings, *sides)
    # TRL's likelihood is one mean over the batch and the prompts; ours is the pair's own.
    ours = pairwise.orpo_loss(sides, beta=BETA) + sides.chosen
    assert_same_slopes(ours, -bonus, sides)


def test_simpo_equals_trl() -> None:
    from trl.experimental.cpo import CPOTrainer

    sides = means()
    settings = SimpleNamespace(
        beta=2.0, simpo_gamma=1.4, loss_type="simpo", label_smoothing=0.0, alpha=0.0,
        accelerator=SimpleNamespace(device="cpu"),
    )  # fmt: skip
    theirs, *_ = CPOTrainer.cpo_loss(settings, *sides)
    rewards = implicit_rewards(sides, pairwise.no_reference(sides), beta=2.0)
    assert_same_slopes(pairwise.simpo_loss(rewards, beta=2.0, gamma_beta_ratio=0.7), theirs, sides)


def test_a_margin_for_each_pair_equals_trl(toy: Toy, tmp_path: Path, rows: PairRows) -> None:
    scorer = load_reward_model(toy.artifacts["reward_model"] / "model")
    config = {"center_rewards_coefficient": 0.01}
    trainer = made_trainer("Reward", tmp_path, scorer, config=config)
    margins = torch.linspace(-1.0, 3.0, len(PAIRS))
    batch = [
        {
            "chosen_ids": list(rows.chosen[i].prompt + rows.chosen[i].completion),
            "rejected_ids": list(rows.rejected[i].prompt + rows.rejected[i].completion),
            "margin": margins[i].item(),
        }
        for i in PAIRS
    ]
    theirs = trainer.compute_loss(trainer.model, trainer.data_collator(batch))
    scores = completion_scores(scorer.model.eval(), rows.of(PAIRS), grad=True)
    ours = bradley_terry_loss(*scores.chunk(2), margin=margins, centering_coef=0.01)
    assert_same(ours.mean(), theirs, scorer.model)


@pytest.mark.parametrize("exchanged", [False, True])
def test_kto_equals_trl(
    exchanged: bool, tmp_path: Path, policy: Any, reference: Any, rows: PairRows
) -> None:
    """Also with both models exchanged, which turns the sign of the baseline before its clamp."""
    trained, held = (reference, policy.model) if exchanged else (policy.model, reference)
    config = {
        "beta": BETA, "desirable_weight": 1.5, "undesirable_weight": 0.5,
        "per_device_train_batch_size": 2,
    }  # fmt: skip
    trainer = made_trainer(
        "KTO", tmp_path, replace(policy, model=trained), config=config, ref_model=held
    )
    examples = rows.of(range(4))
    labels = torch.tensor([True] * 4 + [False] * 4)
    partners = mismatched([row.prompt for row in examples])
    crossed = [
        Row(row.prompt, examples[j].completion) for row, j in zip(examples, partners, strict=True)
    ]
    batch = [
        {
            "prompt_ids": list(row.prompt),
            "completion_ids": list(row.completion),
            "KL_completion_ids": list(other.completion),
            "label": bool(label),
        }
        for row, other, label in zip(examples, crossed, labels, strict=True)
    ]
    theirs = trainer.compute_loss(trainer.model, trainer.data_collator(batch))
    trained.eval()
    baseline = kl_baseline(sums(trained, crossed) - sums(held, crossed))
    assert (baseline.item() > 0) == exchanged
    ours = kto_loss(
        sums(trained, examples, grad=True) - sums(held, examples),
        labels,
        baseline=baseline,
        beta=BETA,
        desirable_weight=1.5,
        undesirable_weight=0.5,
    ).mean()
    assert_same(ours, theirs, trained)


def no_reward(completions: list[str], **_: Any) -> list[float]:
    return [0.0] * len(completions)


def rollout(model: Any, rows: Sequence[Row]) -> tuple[Samples, dict[str, Tensor]]:
    """Return samples of a slightly different policy, for us and in TRL's layout."""
    mask = completion_mask(rows).float()
    noise = 0.15 * torch.randn(mask.shape, generator=torch.Generator().manual_seed(0))
    old = completion_logprobs(model, rows, grad=False).logprobs + noise * mask
    samples = Samples(old, torch.linspace(-1.5, 2.0, len(rows)), mask)
    prompts = [torch.tensor(row.prompt) for row in rows]
    completions = [torch.tensor(row.completion) for row in rows]
    theirs = {
        "prompt_ids": pad_sequence(prompts, batch_first=True, padding_side="left"),
        "prompt_mask": pad_sequence(
            [torch.ones_like(ids) for ids in prompts], batch_first=True, padding_side="left"
        ),
        "completion_ids": pad_sequence(completions, batch_first=True),
        "completion_mask": mask.long(),
        "advantages": samples.advantages,
        "old_logps": old.sum(dim=1),
        "old_per_token_logps": old,
        "num_items_in_batch": mask.sum(),
    }
    return samples, theirs


def test_the_clipped_sequence_surrogate_equals_trls_rloo(
    tmp_path: Path, policy: Any, rows: PairRows
) -> None:
    config = {"beta": 0.0, "epsilon": 0.2, "num_generations": 2, "per_device_train_batch_size": 2}
    trainer = made_trainer("RLOO", tmp_path, policy, config=config, reward_funcs=no_reward)
    policy.model.eval()
    examples = rows.of(PAIRS)
    samples, batch = rollout(policy.model, examples)
    theirs = trainer.compute_loss(trainer.model, batch)
    logprobs = completion_logprobs(policy.model, examples, grad=True).logprobs
    ours = sequence_clipped_loss(logprobs, samples, clip_ratio=0.2, total=len(examples))
    assert 0 < ours.clipped.sum().item() < len(examples)
    assert_same(ours.loss, theirs, policy.model)


GRPO_RULES: dict[str, Normalization] = {
    "grpo": "sequence", "bnpo": "token", "dapo": "token", "dr_grpo": "constant",
}  # fmt: skip


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("loss", GRPO_RULES)
def test_grpo_equals_trl(
    loss: str, corrected: bool, tmp_path: Path, policy: Any, rows: PairRows
) -> None:
    """With the paper's KL term, and with TRL's default, which multiplies it by the ratio."""
    config = {
        "beta": 0.5, "epsilon": 0.1, "epsilon_high": 0.2, "loss_type": loss,
        "max_completion_length": 16, "num_generations": 2, "per_device_train_batch_size": 2,
        "use_bias_correction_kl": corrected,
    }  # fmt: skip
    trainer = made_trainer("GRPO", tmp_path, policy, config=config, reward_funcs=no_reward)
    policy.model.eval()
    examples = rows.of(PAIRS)
    samples, batch = rollout(policy.model, examples)
    held = samples.logprobs - 0.5 * samples.mask
    theirs = trainer.compute_loss(trainer.model, {**batch, "ref_per_token_logps": held})
    logprobs = completion_logprobs(policy.model, examples, grad=True).logprobs
    totals = StepTotals(len(examples), float(samples.mask.sum()), max_length=16)
    weights = token_weights(samples.mask, rule=GRPO_RULES[loss], totals=totals)
    surrogate = token_clipped_loss(
        logprobs, samples, weights=weights, clip_ratio=0.1, clip_ratio_high=0.2
    )
    old = samples.logprobs if corrected else None
    penalty = kl_loss(logprobs, held, weights=weights, estimator="k3", sampled=old)
    assert surrogate.clipped.sum().item() > 0
    assert penalty.item() > 0.01
    assert_same(surrogate.loss + 0.5 * penalty, theirs, policy.model)


@pytest.mark.parametrize(
    ("name", "config", "ours"),
    [
        ("RLOO", {}, leave_one_out_advantages),
        ("GRPO", {"scale_rewards": "group"}, group_relative_advantages),
        (
            "GRPO",
            {"scale_rewards": "none"},
            partial(group_relative_advantages, scale=False),
        ),
    ],
)
def test_advantages_of_groups_equal_trl(
    name: str, config: Any, ours: Callable[[Tensor], Tensor], tmp_path: Path, policy: Any
) -> None:
    """Ordinary rewards, a group of equal ones, and a completion that none of the rewards scored."""
    rewards = [[0.5, -1.0, 4.0, 0.3], [2.0, 2.0, 2.0, 2.0], [1.0, None, -3.0, 0.0]]

    def reward(completions: list[str], **_: Any) -> list[float | None]:
        return [x for group in rewards for x in group]

    config = {
        **config, "beta": 0.0, "num_generations": 4, "per_device_train_batch_size": 12,
        "max_completion_length": 2,
    }  # fmt: skip
    trainer = made_trainer(name, tmp_path, policy, config=config, reward_funcs=reward)
    prompts = [{"prompt": word} for word in ("a", "b", "c") for _ in range(4)]
    theirs = trainer._generate_and_score_completions(prompts)["advantages"]
    table = torch.tensor([[float("nan") if x is None else x for x in group] for group in rewards])
    torch.testing.assert_close(ours(table).flatten(), theirs, atol=1e-5, rtol=0)
