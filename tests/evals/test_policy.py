import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.data import tiny
from ablate.data.gold import gold_scorer
from ablate.errors import StudyError
from ablate.evals.adapter import SharedModel
from ablate.evals.divergence import add_divergence
from ablate.evals.policy import run
from ablate.evals.suites import load_suite
from ablate.evals.tasks import run_tasks
from ablate.models.loading import LoadedModel, load_policy
from ablate.spec.stages import EvaluationConfig
from ablate.store.workspace import Workspace

from .artifacts import Stage

CONFIG = EvaluationConfig(suite="tiny-instruct", samples=2, limit=4, max_new_tokens=12, seed=3)
CATEGORIES = (
    "factuality",
    "reasoning",
    "coding",
    "truthfulness",
    "safety",
    "instruction_following",
)
SAMPLE_FIELDS = {
    *("task", "category", "doc_id", "doc_hash", "prompt_hash", "mode", "sample", "prompt"),
    *("output", "target", "scores", "length_tokens", "ended", "kl_nats"),
}


def scores_of(workspace: Workspace) -> dict[str, dict[str, Any]]:
    content = json.loads((workspace.output / "scores.json").read_text())
    return {metric["metric"]: metric for metric in content["metrics"]}


def samples_of(workspace: Workspace) -> list[dict[str, Any]]:
    lines = (workspace.output / "samples.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


@pytest.fixture
def evaluated(stage: Stage, policy_folder: Path, reference_folder: Path) -> Workspace:
    inputs = {"policy": policy_folder, "reference": reference_folder}
    workspace = stage("evaluation", CONFIG, inputs)
    run(workspace)
    return workspace


def test_the_promised_metrics_are_there(evaluated: Workspace) -> None:
    metrics = scores_of(evaluated)
    for prefix in ("", "greedy_"):
        for category in CATEGORIES:
            row = metrics[prefix + category]
            assert row["level"] == "category" and row["unit"] == "percent"
            assert row["n_items"] == 4 and 0 <= row["value"] <= 100
        assert metrics[f"{prefix}average"]["level"] == "average"
        assert metrics[f"{prefix}gold"]["unit"] == "reward"
    for name in ("kl_per_sequence_nats", "kl_per_token_nats"):
        assert {metrics[name]["unit"], metrics[f"{name}_k3"]["unit"]} == {"nats"}
    for name in ("length_tokens", "ended_fraction", "distinct_fraction", "empty_fraction"):
        assert metrics[name]["level"] == "diagnostic"
    assert metrics["nonfinite"]["value"] == 0


def test_every_output_of_both_modes_has_a_line(evaluated: Workspace) -> None:
    lines = samples_of(evaluated)
    assert all(line.keys() == SAMPLE_FIELDS for line in lines)
    assert sum(line["mode"] == "sampled" for line in lines) == 6 * 4 * 2
    assert sum(line["mode"] == "greedy" for line in lines) == 6 * 4
    keys = {(line["doc_id"], line["mode"], line["sample"]) for line in lines}
    assert len(keys) == len(lines)
    assert all((line["kl_nats"] is None) == (line["mode"] == "greedy") for line in lines)


def test_scores_are_those_of_the_worlds_own_checker(evaluated: Workspace) -> None:
    scorer = gold_scorer(tiny.WORLD)
    assert scorer is not None
    for line in samples_of(evaluated):
        message = {"role": "user", "content": line["prompt"]}
        gold = scorer([message], line["output"], line["ended"])
        assert line["scores"] == {"acc": gold.correct, "gold": gold.reward}


def test_metrics_follow_from_the_lines(evaluated: Workspace) -> None:
    metrics, lines = scores_of(evaluated), samples_of(evaluated)
    sampled = [line for line in lines if line["mode"] == "sampled"]
    for category in CATEGORIES:
        right = [line["scores"]["acc"] for line in sampled if line["category"] == category]
        assert metrics[category]["value"] == pytest.approx(100 * sum(right) / len(right))
    mean = sum(metrics[category]["value"] for category in CATEGORIES) / 6
    assert metrics["average"]["value"] == pytest.approx(mean)
    kl = sum(line["kl_nats"] for line in sampled)
    tokens = sum(line["length_tokens"] for line in sampled)
    assert metrics["kl_per_sequence_nats"]["value"] == pytest.approx(kl / len(sampled))
    assert metrics["kl_per_token_nats"]["value"] == pytest.approx(kl / tokens)
    assert evaluated.counts["generated_tokens"] == sum(line["length_tokens"] for line in lines)


def test_running_again_gives_the_same_bytes(
    evaluated: Workspace, stage: Stage, policy_folder: Path, reference_folder: Path
) -> None:
    inputs = {"policy": policy_folder, "reference": reference_folder}
    torch.manual_seed(99)
    again = stage("again", CONFIG, inputs)
    run(again)
    for name in ("scores.json", "samples.jsonl"):
        assert (again.output / name).read_bytes() == (evaluated.output / name).read_bytes()


def test_without_a_reference_the_divergence_is_left_out(stage: Stage, policy_folder: Path) -> None:
    workspace = stage("base", CONFIG, {"policy": policy_folder})
    run(workspace)
    assert not [name for name in scores_of(workspace) if name.startswith("kl_")]
    assert all(line["kl_nats"] is None for line in samples_of(workspace))


def test_a_policy_has_no_divergence_from_itself(policy: LoadedModel) -> None:
    suite = load_suite(CONFIG)
    outputs = run_tasks(suite.tasks[:1], SharedModel(policy, seed=3), limit=8)
    divergence = add_divergence(outputs, SharedModel(policy), temperature=1.0)
    assert list(vars(divergence).values()) == pytest.approx([0.0] * 4, abs=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_divergence_is_that_of_the_distributions(
    policy: LoadedModel, reference_folder: Path, temperature: float
) -> None:
    config = EvaluationConfig(samples=400, temperature=temperature, max_new_tokens=1, limit=1)
    reference = load_policy(reference_folder / "model")
    outputs = run_tasks(load_suite(config).tasks[:1], SharedModel(policy), limit=1)
    estimate = add_divergence(outputs, SharedModel(reference), temperature=temperature)
    ids = torch.tensor([policy.boundary.prompt_ids(outputs[0].item.messages)])
    with torch.inference_mode():
        p, q = (
            (loaded.model(ids).logits[0, -1] / temperature).log_softmax(-1)
            for loaded in (policy, reference)
        )
    exact = float((p.exp() * (p - q)).sum())
    variance = float((p.exp() * (p - q).square()).sum()) - exact**2
    assert abs(estimate.kl_per_sequence_nats - exact) < 4 * math.sqrt(variance / len(outputs))
    assert estimate.kl_per_token_nats == estimate.kl_per_sequence_nats  # One token each.


def test_samples_of_another_seed_differ_and_greedy_ones_do_not(
    evaluated: Workspace, stage: Stage, policy_folder: Path
) -> None:
    other = stage("other", CONFIG.model_copy(update={"seed": 4}), {"policy": policy_folder})
    run(other)
    for mode, equal in (("sampled", False), ("greedy", True)):
        texts = [
            [line["output"] for line in samples_of(workspace) if line["mode"] == mode]
            for workspace in (evaluated, other)
        ]
        assert (texts[0] == texts[1]) is equal


def test_validation_and_test_share_no_prompt() -> None:
    prompts = [
        {item.messages[0]["content"] for task in suite.tasks for item in task.items}
        for split in ("validation", "test")
        for suite in [load_suite(EvaluationConfig(split=split))]
    ]
    assert prompts[0] and prompts[1] and not prompts[0] & prompts[1]


def test_an_unknown_suite_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(StudyError, match=r"'tiny-instrukt' is not one of .*'tiny-instruct'\?"):
        load_suite(EvaluationConfig(suite="tiny-instrukt"))
