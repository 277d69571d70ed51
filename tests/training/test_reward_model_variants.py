"""Reward models from margins, rankings and ratings, alone and in ensembles."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from test_exact_resume import files, killed_at
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from training_toys import Toy, metrics, reward_config
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ablate.algorithms.bradley_terry import bradley_terry_loss
from ablate.data.preferences import read_pairs, read_rankings, read_rated_replies
from ablate.errors import StageError
from ablate.models.loading import load_policy, load_reward_model, new_reward_model, save_model
from ablate.models.logprobs import completion_outputs, completion_scores
from ablate.rewards.responses import Response
from ablate.rewards.reward_model import RewardModel
from ablate.spec.stages import LoraConfig, PreferencesConfig
from ablate.training import reward_model
from ablate.training.examples import pair_rows
from ablate.training.reward_attributes import (
    AttributeObjective,
    RatingLesson,
    fold,
    rated_rows,
)
from ablate.training.reward_pairs import PairLesson
from ablate.training.reward_rankings import RankingObjective, agreement, ranking_rows
from ablate.training.trainable import Trainable

ATTRIBUTES = ("correctness", "politeness", "conciseness")


@pytest.fixture(scope="session")
def ranked(toy: Toy) -> Path:
    """Return a preference artifact with four ranked and rated replies to each of 24 prompts."""
    config = PreferencesConfig(dataset="ai-fine", examples=24, replies=4)
    return toy.run("preferences", config).output


@pytest.fixture
def scorer(toy: Toy) -> Any:
    return load_reward_model(toy.artifacts["reward_model"] / "model")


def weights(folder: Path) -> dict[str, Tensor]:
    path = folder / "model" / "model.safetensors"
    stored: dict[str, Tensor] = safetensors.torch.load_file(path)
    return stored


def changed(source: Path, target: Path, **lines: list[Mapping[str, Any]]) -> Path:
    """Return a copy of a preference artifact in which some files have other rows."""
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    for name, rows in lines.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (target / f"{name}.jsonl").write_text(text)
    return target


CASES: dict[str, dict[str, Any]] = {
    "margins": {"pair_margins": True, "batch_size": 4},
    "rankings": {"objective": "plackett_luce", "batch_size": 4},
    "ratings": {"objective": "attributes", "batch_size": 16},
    "ratings-lora": {"objective": "attributes", "batch_size": 16, "lora": LoraConfig(rank=2)},
    "member": {"member": 2, "batch_size": 4},
}


@pytest.mark.parametrize("name", CASES)
def test_a_killed_variant_ends_with_the_bytes_of_an_undisturbed_one(
    toy: Toy, ranked: Path, name: str
) -> None:
    config = reward_config(**CASES[name])
    whole = toy.run("reward_model", config, preferences=ranked)
    assert len(metrics(whole)) == 6
    killed = toy.workspace("reward_model", config, preferences=ranked)
    killed_at(killed, 5)
    resumed = toy.successor(killed)
    reward_model.run(resumed)
    assert files(resumed.output) == files(whole.output)
    assert resumed.counts == whole.counts


@pytest.mark.parametrize("name", ["rankings", "ratings"])
def test_the_micro_batch_split_leaves_loss_and_gradient(
    toy: Toy, ranked: Path, scorer: Any, name: str
) -> None:
    objective = rankings_of(scorer, ranked) if name == "rankings" else ratings_of(toy, ranked)
    batch = list(range(9))
    found = []
    for size in (9, 2):
        objective.model.requires_grad_(True).zero_grad()
        weight = objective.weight(batch)
        shares = [objective.share(batch[i : i + size], weight) for i in range(0, 9, size)]
        loss = sum(share.loss for share in shares)
        assert isinstance(loss, Tensor)
        torch.autograd.backward(loss)
        slopes = [p.grad.flatten() for p in objective.model.parameters() if p.grad is not None]
        values = [sum(float(s.metrics[key]) for s in shares) for key in shares[0].metrics]
        found.append(torch.cat([loss.detach().reshape(1), torch.tensor(values), *slopes]))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


def rankings_of(scorer: Any, folder: Path) -> RankingObjective:
    rows = ranking_rows(scorer.boundary, read_rankings(folder), 64)
    return RankingObjective(scorer.model, rows, reward_config(centering_coef=0.01))


def ratings_of(toy: Toy, folder: Path) -> AttributeObjective:
    loaded = new_reward_model(toy.artifacts["sft"] / "model", layers=None, seed=0, outputs=3)
    replies = read_rated_replies(folder)
    rows = rated_rows(loaded.boundary, replies, names=ATTRIBUTES, max_length=64)
    return AttributeObjective(loaded.model, rows, names=ATTRIBUTES, weights=torch.ones(3))


def test_rankings_of_two_train_as_pairs_do(toy: Toy, tmp_path: Path) -> None:
    pairs = read_pairs(toy.artifacts["preferences"])
    rankings = [
        {"id": p.id, "prompt": list(p.prompt), "replies": [p.chosen, p.rejected]} for p in pairs
    ]
    folder = changed(toy.artifacts["preferences"], tmp_path / "two", rankings=rankings)
    lines = {
        objective: metrics(
            toy.run("reward_model", reward_config(objective=objective), preferences=folder)
        )
        for objective in ("bradley_terry", "plackett_luce")
    }
    for ours, theirs in zip(lines["plackett_luce"], lines["bradley_terry"], strict=True):
        assert ours.pop("kendall_tau") == pytest.approx(2 * ours["accuracy"] - 1)
        assert ours == pytest.approx(theirs, abs=1e-4)


def test_agreement_counts_pairs_of_each_ranking() -> None:
    """Scores 3, 1, 2: of three pairs one is wrong, gaps 2, 1 and -1; scores 0, 0: one tie."""
    scores = torch.tensor([[3.0, 1.0, 2.0], [0.0, 0.0, 9.0]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    found = {name: value.tolist() for name, value in agreement(scores, mask).items()}
    assert found["accuracy"] == pytest.approx([2 / 3, 1 / 2])
    assert found["kendall_tau"] == pytest.approx([1 / 3, 0.0])
    assert found["margin"] == pytest.approx([2 / 3, 0.0])


def test_rankings_of_unequal_length_share_a_batch(ranked: Path, scorer: Any) -> None:
    rankings = read_rankings(ranked)[:2]
    mixed = [rankings[0], replace(rankings[1], replies=rankings[1].replies[:2])]
    rows = ranking_rows(scorer.boundary, mixed, 64)
    assert rows.places([0, 1]) == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (0, 3)]
    objective = RankingObjective(scorer.model, rows, reward_config(centering_coef=0.0))
    alone = [float(objective.share([i], 1.0).loss.detach()) for i in (0, 1)]
    assert float(objective.share([0, 1], 2.0).loss.detach()) == pytest.approx(
        sum(alone) / 2, abs=1e-5
    )
    assert rows.tokens([0, 1]) == sum(len(row.completion) for row in rows.of([0, 1]))


def test_a_ranking_with_a_reply_that_is_too_long_is_dropped_whole(toy: Toy, ranked: Path) -> None:
    config = reward_config(objective="plackett_luce", max_length=16, batch_size=4)
    workspace = toy.run("reward_model", config, preferences=ranked)
    dropped = workspace.counts["dropped_long"]
    assert 0 < dropped < 24
    assert workspace.counts["preferences"] == 3 * (24 - dropped)
    stated = json.loads((workspace.output / "summary.json").read_text())
    assert stated["rankings"] == 24 - dropped


def test_each_pair_has_its_own_margin(ranked: Path, scorer: Any) -> None:
    config = reward_config(pair_margins=True, margin=2.0, centering_coef=0.0)
    lesson = PairLesson({"preferences": ranked}, config)
    rows = lesson.rows(scorer.boundary)
    found = float(lesson.objective(scorer.model, rows).share([3, 7], 2.0).loss.detach())
    chosen, rejected = completion_scores(scorer.model, rows.of([3, 7])).chunk(2)
    own = torch.tensor([2.0 * (read_pairs(ranked)[i].margin or 0.0) for i in (3, 7)])
    expected = bradley_terry_loss(chosen, rejected, margin=own).mean()
    assert found == pytest.approx(float(expected), abs=1e-6)
    assert own[0] != own[1]


def test_margins_of_pairs_train_as_trl_does(ranked: Path, scorer: Any, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    lesson = PairLesson({"preferences": ranked}, reward_config(pair_margins=True))
    rows = lesson.rows(scorer.boundary)
    settings = trl.RewardConfig(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, gradient_checkpointing=False,
        report_to="none", center_rewards_coefficient=0.01,
    )  # fmt: skip
    row = {"prompt": "a", "chosen": " b", "rejected": " c"}
    trainer = trl.RewardTrainer(
        model=scorer.model, args=settings, processing_class=scorer.tokenizer,
        train_dataset=datasets.Dataset.from_list([row, row]),
    )  # fmt: skip
    batch = [
        {
            "chosen_ids": list(rows.chosen[i].prompt + rows.chosen[i].completion),
            "rejected_ids": list(rows.rejected[i].prompt + rows.rejected[i].completion),
            "margin": read_pairs(ranked)[i].margin,
        }
        for i in range(8)
    ]
    theirs = trainer.compute_loss(trainer.model, trainer.data_collator(batch))
    ours = lesson.objective(scorer.model.eval(), rows).share(range(8), 8.0).loss
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_ratings_are_regressed_attribute_by_attribute(toy: Toy, ranked: Path) -> None:
    """Squared errors of deviations from the mean, over the ratings that there are."""
    objective = ratings_of(toy, ranked)
    objective.targets[0, 1] = torch.nan
    rows = objective.rows
    outputs = completion_outputs(objective.model, rows.rows[:2])
    targets = rows.ratings[:2] - rows.ratings.mean(dim=0)
    errors = (outputs - targets).square()
    errors[0, 1] = 0.0
    share = objective.share([0, 1], objective.weight([0, 1]))
    assert float(share.loss.detach()) == pytest.approx(float(errors.sum()) / 5, abs=1e-6)
    variance = rows.ratings.var(dim=0, correction=0)
    r2 = 1 - errors[1, 1] / variance[1]  # The only rating of the second attribute here.
    assert float(share.metrics["r2_politeness"]) == pytest.approx(float(r2), abs=1e-4)
    mean = (outputs.sum(dim=1) + rows.ratings.mean(dim=0).sum()).mean()
    assert float(share.metrics["score_mean"]) == pytest.approx(float(mean), abs=1e-5)


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)])
def test_the_folded_head_gives_the_weighted_sum(toy: Toy, lora: LoraConfig | None) -> None:
    folder = toy.artifacts["sft"] / "model"
    loaded = new_reward_model(folder, layers=None, seed=4, outputs=3)
    model = Trainable(loaded, lora, seed=0).model
    pairs = read_pairs(toy.artifacts["preferences"])[:6]
    rows = pair_rows(loaded.boundary, pairs, 64).chosen
    weighted = completion_outputs(model, rows) @ torch.tensor([1.0, -2.0, 0.5])
    plain = fold(model, torch.tensor([1.0, -2.0, 0.5]))
    assert plain is not None
    save_model(plain, loaded.tokenizer, toy.root / f"folded-{lora is None}")
    found = load_reward_model(toy.root / f"folded-{lora is None}")
    assert found.model.config.num_labels == 1
    torch.testing.assert_close(completion_scores(found.model, rows), weighted, atol=1e-5, rtol=0)


def test_ratings_give_a_reward_model_like_any_other(toy: Toy, ranked: Path) -> None:
    chosen = {"attributes": ("correctness", "politeness"), "attribute_weights": (1.0, 0.5)}
    config = reward_config(
        objective="attributes", batch_size=16, epochs=12, learning_rate=3e-3, **chosen
    )
    workspace = toy.run("reward_model", config, preferences=ranked)
    lines = metrics(workspace)
    assert set(lines[0]) == {
        "step", "loss", "r2_correctness", "r2_politeness", "score_mean", "grad_norm",
        "learning_rate",
    }  # fmt: skip
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"]
    assert lines[-1]["r2_correctness"] > 0.3
    assert workspace.counts["preferences"] == 96
    replies = read_rated_replies(ranked)
    responses = [Response(r.prompt, r.reply, True) for r in replies]
    scores = RewardModel(workspace.output).score(responses)
    ratings = torch.tensor(
        [r.attributes["correctness"] + 0.5 * r.attributes["politeness"] for r in replies]
    )
    assert torch.corrcoef(torch.stack([scores, ratings]))[0, 1] > 0.5


def test_a_score_of_ratings_that_is_not_standardized_has_their_level(
    toy: Toy, ranked: Path
) -> None:
    config = reward_config(objective="attributes", normalize=False, batch_size=16)
    output = toy.run("reward_model", config, preferences=ranked).output
    replies = read_rated_replies(ranked)
    mean = sum(sum(r.attributes.values()) for r in replies) / len(replies)
    scale = json.loads((output / "reward.json").read_text())
    assert (scale["gain"], scale["raw_mean"]) == (1.0, None)
    assert scale["bias"] == pytest.approx(mean, abs=1e-6)
    stated = json.loads((output / "summary.json").read_text())
    assert stated["replies"] == 96 and set(stated["attributes"]) == set(ATTRIBUTES)


def test_the_first_member_is_the_model_that_stands_alone(toy: Toy) -> None:
    alone = files(toy.run("reward_model", reward_config()).output)
    first = files(toy.run("reward_model", reward_config(member=0)).output)
    assert first == alone


def test_members_differ_in_head_and_order(toy: Toy) -> None:
    outputs = [
        toy.run("reward_model", reward_config(member=number, normalize=False)).output
        for number in (0, 1, 2, 1)
    ]
    heads = [weights(output)["score.weight"] for output in outputs]
    assert torch.equal(heads[1], heads[3])
    assert not torch.equal(heads[0], heads[1]) and not torch.equal(heads[1], heads[2])
    assert len({metrics_text(output) for output in outputs}) == 3


def metrics_text(output: Path) -> str:
    return (output / "metrics.jsonl").read_text()


def test_members_are_put_on_one_scale_by_the_same_samples(toy: Toy) -> None:
    runs = [toy.run("reward_model", reward_config(member=number)) for number in (0, 1)]
    counts = [run.counts["generated_tokens"] for run in runs]
    scales = [json.loads((run.output / "reward.json").read_text()) for run in runs]
    assert counts[0] == counts[1]
    assert scales[0]["raw_mean"] != scales[1]["raw_mean"]


@pytest.fixture
def other_base(toy: Toy, tmp_path: Path) -> Path:
    """Return a model whose tokenizer splits words of the world at other places: into letters."""
    letters = sorted(set("abcdefghijklmnopqrstuvwxyz0123456789:,?+-*=. \n"))
    vocabulary = {token: i for i, token in enumerate(["<end>", "<unk>", *letters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unk>", pad_token="<end>"
    )
    fast.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    shape = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=8, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=512, eos_token_id=0, bos_token_id=None,
        pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_model(LlamaForCausalLM(shape), fast, tmp_path / "letters" / "model")
    return tmp_path / "letters"


def test_a_reward_model_with_another_tokenizer_scores_text(toy: Toy, other_base: Path) -> None:
    inputs = {"policy": other_base, "sampler": toy.artifacts["sft"]}
    workspace = toy.run("reward_model", reward_config(max_length=512), **inputs)
    scale = json.loads((workspace.output / "reward.json").read_text())
    assert scale["gain"] * scale["raw_std"] == pytest.approx(1.0)
    # What was scaled are the SFT model's replies: as many of its tokens as without the other base.
    own = toy.run("reward_model", reward_config(max_length=512))
    for name in ("generated_tokens", "reward_calls"):
        assert workspace.counts[name] == own.counts[name]
    reward = RewardModel(workspace.output)
    boundary = load_policy(toy.artifacts["sft"] / "model").boundary
    pair = read_pairs(toy.artifacts["preferences"])[0]
    response = Response(pair.prompt, pair.chosen, True)
    assert len(reward.row(response).completion) == len(pair.chosen) + 1
    assert len(boundary.completion_ids(pair.chosen)) < len(pair.chosen)
    assert torch.isfinite(reward.score([response])).all()


def test_an_initialization_from_the_base_model_samples_from_the_sft_model(toy: Toy) -> None:
    """Text that goes over is tokenized as it was sampled, so the scale is that of the tokens."""
    inputs = {"policy": toy.artifacts["sft"], "sampler": toy.artifacts["sft"]}
    by_text, by_tokens = (
        json.loads(
            (toy.run("reward_model", reward_config(), **roles).output / "reward.json").read_text()
        )
        for roles in (inputs, {"policy": toy.artifacts["sft"]})
    )
    assert by_text["raw_mean"] == pytest.approx(by_tokens["raw_mean"], abs=1e-4)
    assert by_text["raw_std"] == pytest.approx(by_tokens["raw_std"], abs=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"objective": "plackett_luce"}, "has no rankings; plackett_luce needs them"),
        ({"objective": "attributes"}, "no ratings of any attribute .* it has none"),
        ({"pair_margins": True}, "48 of 48 pairs have no margin"),
    ],
)
def test_data_without_what_the_objective_needs_is_refused(
    toy: Toy, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(StageError, match=message) as caught:
        toy.run("reward_model", reward_config(**fields))
    assert caught.value.kind == "bad_data"


def test_an_attribute_that_the_data_has_not_is_refused(toy: Toy, ranked: Path) -> None:
    config = reward_config(objective="attributes", attributes=("wit", "politeness"))
    with pytest.raises(StageError, match="no ratings of 'wit' on .* it has correctness, polite"):
        toy.run("reward_model", config, preferences=ranked)


def test_an_attribute_rated_on_long_replies_only_is_refused(
    toy: Toy, ranked: Path, tmp_path: Path, scorer: Any
) -> None:
    rows = [asdict(reply) for reply in read_rated_replies(ranked)]
    rows[0]["attributes"]["depth"], rows[0]["reply"] = 1.0, "saw " * 80
    folder = changed(ranked, tmp_path / "deep", attributes=rows)
    lesson = RatingLesson({"preferences": folder}, reward_config(objective="attributes"))
    with pytest.raises(StageError, match="no ratings of 'depth' on replies that fit"):
        lesson.rows(scorer.boundary)
