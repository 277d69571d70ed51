"""Pairs that are labelled in the study, on the toy."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_toys import RUNS, Toy, dpo_config, metrics, reward_config

from ablate.data.artifacts import ItemWriter
from ablate.data.gold import gold_scorer
from ablate.data.preferences import read_pairs, write_pairs
from ablate.data.records import Feedback, Judged, Pair, user
from ablate.errors import StageError
from ablate.models.loading import load_policy, load_reward_model, save_model
from ablate.rewards.responses import Response
from ablate.spec import stages
from ablate.spec.data import LabelsConfig
from ablate.store.workspace import Workspace
from ablate.training.labelled import best_and_worst

WORLD = "tiny-instruct"
PAIRS = [
    Pair("d-1", user("list 2 fruits"), "apple", "apple pear", source="d"),
    Pair("d-2", user("list 3 fruits"), "apple pear saw", "yes", "style"),
    Pair("d-3", user("list 1 fruits"), "pear", "apple", margin=7.0),
    Pair("d-5", user("list 2 tools"), "no", "saw axe hammer"),
]
"""By nouns 1 : 2, 3 : 0, 1 : 1 and 0 : 3."""


def config_of(**fields: Any) -> LabelsConfig:
    given: dict[str, Any] = {
        "reward": "noun-count", "max_new_tokens": 10, "max_length": 64, "max_prompt_length": 36,
        "missing_eos_score": -3.0, **fields,
    }  # fmt: skip
    return LabelsConfig(**given)


def folder_of(root: Path, pairs: list[Pair]) -> Path:
    root.mkdir(exist_ok=True)
    write_pairs(pairs, root)
    return root


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def summary(workspace: Workspace) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((workspace.output / "summary.json").read_text())
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def right(pairs: list[Pair]) -> float:
    """Return the share of the pairs that gold tells apart whose chosen reply it prefers."""
    judge = gold_scorer(WORLD)
    assert judge is not None
    gaps = [
        judge(p.prompt, p.chosen, True).reward - judge(p.prompt, p.rejected, True).reward
        for p in pairs
    ]
    apart = [gap for gap in gaps if gap]
    return sum(gap > 0 for gap in apart) / len(apart)


def test_flips_ties_and_margins_are_those_counted_by_hand(toy: Toy, tmp_path: Path) -> None:
    """Margins 1 and 3 of the flipped pairs, 3 of the one kept; the tie keeps its order."""
    done = toy.run("labels", config_of(), preferences=folder_of(tmp_path / "d", PAIRS))
    found = summary(done)
    assert [found[name] for name in ("pairs", "kept", "flipped", "ties")] == [4, 1, 2, 1]
    assert found["flipped_fraction"] == 0.5
    assert (found["margin_kept"], found["margin_flipped"]) == (3.0, 2.0)
    assert [
        (p.id, p.chosen, p.rejected, p.margin, p.chosen_score, p.rejected_score)
        for p in read_pairs(done.output)
    ] == [
        ("d-1", "apple pear", "apple", 1.0, 2.0, 1.0),
        ("d-2", "apple pear saw", "yes", 3.0, 3.0, 0.0),
        ("d-3", "pear", "apple", 0.0, 1.0, 1.0),
        ("d-5", "saw axe hammer", "no", 3.0, 3.0, 0.0),
    ]
    assert [(p.source, p.category) for p in read_pairs(done.output)[:2]] == [
        ("d", None), ("", "style")
    ]  # fmt: skip


def test_a_relabelling_costs_two_calls_a_pair_and_the_labels_of_its_ties(
    toy: Toy, tmp_path: Path
) -> None:
    done = toy.run("labels", config_of(), preferences=folder_of(tmp_path / "d", PAIRS))
    assert done.counts == {"reward_calls": 8.0, "preferences": 1.0, "dropped_long": 0.0}


def test_staleness_is_the_mean_log_probability_of_a_token(toy: Toy, tmp_path: Path) -> None:
    """Of the pair that is flipped the sides change, so its former rejected reply is the chosen."""
    pair = PAIRS[0]
    done = toy.run(
        "labels", config_of(temperature=2.0), preferences=folder_of(tmp_path / "d", [pair])
    )
    loaded = load_policy(toy.artifacts["sft"] / "model")
    prompt = loaded.boundary.prompt_ids(pair.prompt)
    sums, lengths = {}, {}
    for text in (pair.chosen, pair.rejected):
        ids = loaded.boundary.completion_ids(text)
        logits = loaded.model(torch.tensor([prompt + ids])).logits[0] / 2.0
        logps = logits.log_softmax(-1)
        sums[text] = sum(logps[len(prompt) - 1 + t, token].item() for t, token in enumerate(ids))
        lengths[text] = len(ids)
    found = summary(done)
    assert found["logp_per_token_chosen"] == pytest.approx(sums["apple pear"] / 3, abs=1e-4)
    assert found["logp_per_token_rejected"] == pytest.approx(sums["apple"] / 2, abs=1e-4)
    assert found["logp_per_token"] == pytest.approx(sum(sums.values()) / 5, abs=1e-4)
    assert sum(lengths.values()) == 5


def test_what_is_too_long_to_compare_is_named_and_not_scored(toy: Toy, tmp_path: Path) -> None:
    long = [
        Pair("d-6", user("list 2 fruits " * 20), "apple", "pear"),
        Pair("d-7", user("list 2 fruits"), "apple " * 60, "pear"),
    ]
    done = toy.run("labels", config_of(), preferences=folder_of(tmp_path / "d", [*long, PAIRS[0]]))
    assert lines(done.output / "dropped.jsonl") == [
        {"row": 6, "source": "", "reason": "long_prompt"},
        {"row": 7, "source": "", "reason": "long"},
    ]
    assert summary(done)["dropped"] == {"long": 1, "long_prompt": 1}
    assert done.counts["dropped_long"] == 2 and done.counts["reward_calls"] == 2


def test_a_reply_over_the_window_of_the_scorer_is_dropped(toy: Toy, tmp_path: Path) -> None:
    """The toy's reward model reads 256 tokens."""
    pairs = [Pair("d-1", user("list 2 fruits"), "apple " * 300, "pear"), PAIRS[1]]
    config = config_of(reward="reward_model", max_length=4096)
    done = toy.run("labels", config, preferences=folder_of(tmp_path / "d", pairs))
    assert summary(done)["dropped"] == {"over_window": 1}


def test_a_reward_model_of_noisy_labels_takes_noise_out_of_them(toy: Toy, tmp_path: Path) -> None:
    """Every fourth label is turned against gold; the reward model learns from these labels."""
    made = toy.run("preferences", stages.PreferencesConfig(dataset="ai-fine", examples=600)).output
    judge = gold_scorer(WORLD)
    assert judge is not None
    noisy: list[Pair] = []
    for pair in read_pairs(made):
        gap = (
            judge(pair.prompt, pair.chosen, True).reward
            - judge(pair.prompt, pair.rejected, True).reward
        )
        if abs(gap) >= 0.3:
            wrong = len(noisy) % 4 == 0
            turned = replace(pair, chosen=pair.rejected, rejected=pair.chosen)
            noisy.append(turned if (gap > 0) == wrong else pair)
    folder = folder_of(tmp_path / "noisy", noisy)
    assert right(noisy) == pytest.approx(0.75, abs=0.01)
    trained = reward_config(learning_rate=1e-2, batch_size=16, normalize=False)
    reward = toy.run("reward_model", trained, preferences=folder).output
    config = config_of(reward="reward_model")
    done = toy.run("labels", config, preferences=folder, reward_model=reward)
    assert right(read_pairs(done.output)) > 0.8
    gold = toy.run("labels", config_of(reward="gold"), preferences=folder)
    assert right(read_pairs(gold.output)) == 1.0
    assert summary(gold)["flipped_fraction"] == pytest.approx(0.25, abs=0.01)


def test_on_policy_pairs_are_the_best_against_the_worst_sample(toy: Toy, tmp_path: Path) -> None:
    config = config_of(generations="on_policy", samples_per_prompt=4)
    # The second row repeats the first one's prompt, and is no prompt of its own.
    rows = [PAIRS[0], replace(PAIRS[1], prompt=PAIRS[0].prompt), PAIRS[2], PAIRS[3]]
    done = toy.run("labels", config, preferences=folder_of(tmp_path / "d", rows))
    pairs, found = read_pairs(done.output), summary(done)
    dropped = lines(done.output / "dropped.jsonl")
    assert len(pairs) + len(dropped) == 3
    assert {p.id for p in pairs} <= {"d-1", "d-3", "d-5"}
    assert pairs and all(p.margin == p.chosen_score - p.rejected_score > 0 for p in pairs)  # type: ignore[operator]
    assert found["flipped"] == found["ties"] == 0 and found["kept"] == found["pairs"]
    assert found["margin_kept"] == sum(p.margin or 0.0 for p in pairs) / len(pairs)
    assert found["margin_flipped"] is None
    assert -6.0 < found["logp_per_token"] < 0.0
    assert done.counts["reward_calls"] == 3 * 4 and done.counts["preferences"] == 0
    assert 3 * 4 <= done.counts["generated_tokens"] <= 3 * 4 * 10


def reply(text: str, *, ended: bool = True) -> Response:
    return Response(user("x"), text, ended)


@pytest.mark.parametrize(
    ("replies", "scores", "expected"),
    [
        ([reply("a"), reply("b"), reply("c")], [1.0, 3.0, 2.0], (1, 0)),
        ([reply("a"), reply("b"), reply("c"), reply("d")], [2.0, 2.0, 1.0, 1.0], (0, 2)),
        ([reply("a"), reply("b")], [1.0, 1.0], "equal_scores"),
        ([reply("a"), reply("a")], [1.0, 1.0], "identical_replies"),
        # The better one was cut: it cannot be chosen, and the other is not better than it.
        ([reply("a", ended=False), reply("b")], [2.0, 1.0], "equal_scores"),
        ([reply("a", ended=False), reply("b"), reply("c")], [5.0, 1.0, 2.0], (2, 1)),
        ([reply("a", ended=False), reply("b", ended=False)], [2.0, 1.0], "no_ended_reply"),
        ([reply("a", ended=False), reply("a"), reply("b")], [0.0, 2.0, 1.0], "identical_replies"),
        ([reply(""), reply("b")], [2.0, 1.0], "empty_chosen"),
        ([reply(" "), reply("b")], [1.0, 2.0], "empty_rejected"),
    ],
)
def test_which_samples_make_a_pair(
    replies: list[Response], scores: list[float], expected: tuple[int, int] | str
) -> None:
    assert best_and_worst(replies, scores) == expected


class Killed(Exception):
    """Stands for a kill between two batches."""


@pytest.mark.parametrize("generations", ["off_policy", "on_policy"])
def test_a_killed_labelling_ends_with_the_bytes_of_an_undisturbed_one(
    toy: Toy, generations: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ablate.training.labels.PAIRS_AT_ONCE", 8)
    monkeypatch.setattr("ablate.training.labels.PROMPTS_AT_ONCE", 8)
    config = config_of(reward="reward_model", generations=generations, samples_per_prompt=3)
    whole = toy.run("labels", config)
    killed = toy.workspace("labels", config)

    def report(event: Mapping[str, Any]) -> None:
        if event.get("done") == 24:
            raise Killed

    killed.report = report
    with pytest.raises(Killed):
        RUNS["labels"](killed)
    assert (killed.scratch / "checkpoint.pt").exists()
    resumed = toy.successor(killed)
    RUNS["labels"](resumed)
    assert files(resumed.output) == files(whole.output)
    assert resumed.counts == whole.counts


def test_dpo_learns_from_labelled_pairs_as_from_any(toy: Toy) -> None:
    for generations in ("off_policy", "on_policy"):
        config = config_of(reward="reward_model", generations=generations, samples_per_prompt=4)
        pairs = toy.run("labels", config).output
        scored = stages.ReferenceConfig(max_length=64)
        reference = toy.run("reference", scored, preferences=pairs).output
        trained = toy.run("policy", dpo_config(epochs=1), preferences=pairs, reference=reference)
        assert metrics(trained)[0]["reward_margin"] == pytest.approx(0.0, abs=1e-4)
        assert trained.counts["preferences"] == len(read_pairs(pairs))


def test_thumbs_alone_give_prompts_to_sample_for_and_nothing_to_flip(
    toy: Toy, tmp_path: Path
) -> None:
    with ItemWriter(tmp_path) as writer:
        for i, pair in enumerate(PAIRS):
            given = Feedback(f"f-{i}", pair.prompt, pair.chosen, i % 2 == 0)
            writer.add(Judged(feedback=given))
    config = config_of(generations="on_policy", samples_per_prompt=4)
    done = toy.run("labels", config, preferences=tmp_path)
    assert {p.id for p in read_pairs(done.output)} <= {f"f-{i}" for i in range(4)}
    with pytest.raises(StageError, match="has no pairs, and only pairs can be labelled anew") as e:
        toy.run("labels", config_of(), preferences=tmp_path)
    assert e.value.kind == "bad_data"


def test_scores_that_order_nothing_are_refused(toy: Toy, tmp_path: Path) -> None:
    loaded = load_reward_model(toy.artifacts["reward_model"] / "model")
    with torch.no_grad():
        loaded.model.score.weight.fill_(torch.nan)
    save_model(loaded.model, loaded.tokenizer, tmp_path / "model")
    scale = (toy.artifacts["reward_model"] / "reward.json").read_text()
    (tmp_path / "reward.json").write_text(scale)
    with pytest.raises(StageError, match="96 of 96 replies got a score that is not finite") as e:
        toy.run("labels", config_of(reward="reward_model"), reward_model=tmp_path)
    assert e.value.kind == "bad_data"


def test_nothing_left_is_an_error_that_says_what_was_dropped(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"no pair is left; dropped: \{'long': 4\}") as caught:
        toy.run("labels", config_of(max_length=6), preferences=folder_of(tmp_path / "d", PAIRS))
    assert caught.value.kind == "bad_data"


def test_labels_of_the_data_set_itself_are_no_stage(toy: Toy) -> None:
    with pytest.raises(ValueError, match="need no stage"):
        toy.run("labels", config_of(reward="dataset"))


@pytest.mark.parametrize(
    ("reward", "roles", "calls"),
    [
        ("judge", {"judge": "sft"}, 96),
        ("implicit", {"implicit": "sft", "implicit_reference": "model"}, 96),
        # Two members, each of which scores every reply.
        ("reward_model", {"reward_model_1": "reward_model"}, 192),
    ],
)
def test_whatever_scores_replies_can_label(
    toy: Toy, reward: str, roles: dict[str, str], calls: int
) -> None:
    given = {role: toy.artifacts[name] for role, name in roles.items()}
    done = toy.run("labels", config_of(reward=reward), **given)
    assert done.counts["reward_calls"] == calls
    found = summary(done)
    assert found["kept"] + found["flipped"] + found["ties"] == 48
    assert all((p.margin or 0.0) >= 0.0 for p in read_pairs(done.output))
