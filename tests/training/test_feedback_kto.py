"""Thumbs up and down, without pairs: KTO's own kind of data."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from training_toys import Toy, dpo_config, metrics, reward_config

from ablate.data.artifacts import ItemWriter
from ablate.data.preferences import read_pairs
from ablate.data.records import Feedback, Judged, user
from ablate.errors import StageError
from ablate.models.boundary import Row
from ablate.spec import stages
from ablate.spec.data import TokensConfig
from ablate.training.kto import KtoObjective, KtoReference, crossed_row, crossings_of
from ablate.training.kto_examples import KtoExamples, read_examples
from ablate.training.offline import OfflineStart


def kto_config(**fields: Any) -> stages.KtoConfig:
    given: dict[str, Any] = {
        "epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "max_length": 64,
        "checkpoint_every_steps": 3, "beta": 0.3, **fields,
    }  # fmt: skip
    return stages.KtoConfig(**given)


def thumbs_of(toy: Toy) -> list[Feedback]:
    """Return 48 thumbs, every fourth one down, each on another prompt's reply."""
    pairs = read_pairs(toy.artifacts["preferences"])
    return [
        Feedback(f"f-{i + 1}", p.prompt, p.rejected if i % 4 == 0 else p.chosen, i % 4 != 0)
        for i, p in enumerate(pairs)
    ]


def written(folder: Path, judged: Sequence[Judged]) -> Path:
    folder.mkdir()
    with ItemWriter(folder) as writer:
        for item in judged:
            writer.add(item)
    return folder


@pytest.fixture
def thumbs(toy: Toy, tmp_path: Path) -> Path:
    return written(tmp_path / "thumbs", [Judged(feedback=thumb) for thumb in thumbs_of(toy)])


def examples_of(toy: Toy, folder: Path, **fields: Any) -> tuple[OfflineStart, KtoExamples]:
    config = kto_config(**fields)
    start = OfflineStart.read(toy.workspace("policy", config, preferences=folder), config)
    return start, read_examples(start, config)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def plain_sum(model: Any, row: Row) -> float:
    table = model(torch.tensor([row.prompt + row.completion])).logits[0].double().log_softmax(-1)
    first = len(row.prompt) - 1
    return float(sum(table[first + t, token].item() for t, token in enumerate(row.completion)))


def test_every_thumb_is_one_example_in_the_order_of_the_file(toy: Toy, thumbs: Path) -> None:
    start, examples = examples_of(toy, thumbs)
    boundary = start.loaded.boundary
    for row, liked, thumb in zip(
        examples.rows, examples.desirable.tolist(), thumbs_of(toy), strict=True
    ):
        assert row.prompt == boundary.prompt_ids(thumb.prompt)
        assert row.completion == boundary.completion_ids(thumb.reply)
        assert liked == thumb.liked


def test_d7_unpaired_losses_follow_equation_8(toy: Toy, thumbs: Path) -> None:
    """Three liked and one disliked reply to four prompts: nobody has a partner.

    With r a log-ratio, z the mean log-ratio of the mismatched completions and beta 0.3, a liked
    one costs 2 (1 - sigmoid(0.3 (r - z))) and a disliked one 1 - sigmoid(0.3 (z - r)).
    """
    start, examples = examples_of(toy, thumbs)
    config = kto_config(desirable_weight=2.0)
    rows, batch = examples.rows, [0, 1, 2, 3]
    assert examples.desirable[batch].tolist() == [False, True, True, True]
    model = start.loaded.model
    own = torch.linspace(-9.0, -3.0, len(rows))
    crossed = {crossing: -30.0 for crossing in crossings_of(rows, batch)}
    reference = KtoReference(own, crossed)
    objective = KtoObjective(model, rows, reference, config, desirable=examples.desirable)
    step = objective.weight(batch)
    assert (step.examples, step.desirable, step.undesirable) == (4, 3, 1)
    others = [plain_sum(model, crossed_row(rows, crossing)) + 30.0 for crossing in crossed]
    z = max(0.0, sum(others) / 4)
    assert step.baseline.item() == pytest.approx(z, abs=1e-3) and z > 0
    ratios = [plain_sum(model, rows[i]) - own[i].item() for i in batch]

    def cost(gain: float) -> float:
        return 1 - 1 / (1 + math.exp(-0.3 * gain))

    expected = (cost(z - ratios[0]) + sum(2 * cost(r - z) for r in ratios[1:])) / 4
    share = objective.share(batch, step)
    assert share.loss.item() == pytest.approx(expected, abs=1e-4)
    assert share.metrics["reward_rejected"].item() == pytest.approx(0.3 * ratios[0], abs=1e-3)
    liked = 0.3 * sum(ratios[1:]) / 3
    assert share.metrics["reward_chosen"].item() == pytest.approx(liked, abs=1e-3)


def test_thumbs_train_a_policy_from_its_reference_on(toy: Toy, thumbs: Path) -> None:
    """At the start every sigmoid is 1/2: a step of 8 costs (2 liked + disliked) / 16."""
    config = kto_config(epochs=4, learning_rate=3e-3, desirable_weight=2.0)
    done = toy.run("policy", config, preferences=thumbs)
    lines = metrics(done)
    costs = [(2 * (8 - down) + down) / 16 for down in range(9)]
    assert min(abs(lines[0]["loss"] - cost) for cost in costs) < 1e-4
    assert len(lines) == 4 * 6
    assert sum(line["loss"] for line in lines[-6:]) < sum(line["loss"] for line in lines[:6])
    assert done.counts["preferences"] == 48 == lines[-1]["used_preferences"]
    # 36 up and 12 down: 2 * 36 / 12.
    assert summary(done.output) == {
        "feedback": 48, "desirable": 36, "undesirable": 12, "weighted_ratio": 6.0,
        "pairs_unused": 0, "dropped_long": 0, "steps": 24,
    }  # fmt: skip


def test_stored_tokens_of_thumbs_change_no_byte(toy: Toy, thumbs: Path) -> None:
    model = toy.artifacts["model"]
    tokens = toy.run("tokens", TokensConfig(), data=thumbs, model=model).output
    assert summary(tokens)["kind"] == "feedback"
    config = kto_config(epochs=1)
    plain = toy.run("policy", config, preferences=thumbs)
    stored = toy.run("policy", config, preferences=thumbs, tokens=tokens)
    assert files(stored.output) == files(plain.output)


def test_thumbs_alone_without_one_that_is_down_have_no_ratio(toy: Toy, tmp_path: Path) -> None:
    up = [Judged(feedback=thumb) for thumb in thumbs_of(toy) if thumb.liked]
    done = toy.run("policy", kto_config(epochs=1), preferences=written(tmp_path / "up", up))
    assert summary(done.output)["weighted_ratio"] is None
    assert summary(done.output)["undesirable"] == 0


def test_a_thumb_on_a_long_reply_is_dropped_and_counted(toy: Toy, tmp_path: Path) -> None:
    given = thumbs_of(toy)
    long = Feedback("f-99", user("list 2 fruits"), "apple " * 80, True)
    folder = written(tmp_path / "d", [Judged(feedback=t) for t in (long, *given)])
    start, examples = examples_of(toy, folder)
    assert len(examples.rows) == 48 and start.workspace.counts["dropped_long"] == 1
    assert examples.desirable[0].item() is False  # The long one was the first.


def test_pairs_beside_thumbs_are_left_out_and_counted(toy: Toy, tmp_path: Path) -> None:
    pairs = read_pairs(toy.artifacts["preferences"])
    judged = [Judged(pair, feedback=t) for pair, t in zip(pairs, thumbs_of(toy), strict=True)]
    folder = written(tmp_path / "both", judged)
    model = toy.artifacts["model"]
    tokens = toy.run("tokens", TokensConfig(), data=folder, model=model).output
    assert summary(tokens)["kind"] == "pairs"
    done = toy.run("policy", kto_config(epochs=1), preferences=folder, tokens=tokens)
    assert summary(done.output)["pairs_unused"] == 48
    assert summary(done.output)["feedback"] == 48


THUMBS_REFUSED = (
    r"preferences: the data set has thumbs up and down, but no pairs; only kto \(backend native\)"
    r" learns from thumbs\. Use data of pairs, or kto with thumbs\."
)


@pytest.mark.parametrize(
    ("stage", "config"),
    [
        ("policy", dpo_config()),
        ("policy", stages.SimpoConfig(max_length=64)),
        ("reference", stages.ReferenceConfig(max_length=64)),
        ("reward_model", reward_config()),
        ("policy", stages.SelfRewardingConfig(
            rounds=1, prompts_per_round=8, max_new_tokens=8, max_prompt_length=32, max_length=64
        )),
    ],
)  # fmt: skip
def test_what_compares_replies_refuses_thumbs(
    toy: Toy, thumbs: Path, stage: str, config: Any
) -> None:
    with pytest.raises(StageError, match=THUMBS_REFUSED) as caught:
        toy.run(stage, config, preferences=thumbs)
    assert caught.value.kind == "bad_data"


def test_data_that_says_nothing_of_pairs_or_thumbs_is_refused(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="the data set has no pairs; only kto"):
        toy.run("policy", kto_config(), preferences=tmp_path)


def test_the_prompts_of_thumbs_serve_an_algorithm_that_samples(toy: Toy, thumbs: Path) -> None:
    config = stages.RlooConfig(
        prompts="dataset", reward="noun-count", steps=2, rollouts_per_step=16, batch_size=8,
        max_new_tokens=8, max_prompt_length=32, max_length=64,
    )  # fmt: skip
    done = toy.run("policy", config, preferences=thumbs)
    distinct = {repr(thumb.prompt) for thumb in thumbs_of(toy)}
    assert summary(done.output)["prompts"] == len(distinct)


def test_a_killed_run_on_thumbs_ends_with_the_same_bytes(toy: Toy, thumbs: Path) -> None:
    class Killed(Exception):
        pass

    def report(event: Any) -> None:
        if event.get("done") == 8:
            raise Killed

    killed = toy.workspace("policy", kto_config(), preferences=thumbs)
    killed.report = report
    with pytest.raises(Killed):
        toy.resume(killed)
    resumed = toy.successor(killed)
    toy.resume(resumed)
    whole = toy.run("policy", kto_config(), preferences=thumbs)
    assert files(resumed.output) == files(whole.output)
    assert resumed.counts == whole.counts
