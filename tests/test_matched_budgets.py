"""Arms at equal cost, from a study's `match` to what the artifacts say was spent."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

STUDY = """
study: match-{unit}
base:
  model: tiny-instruct
  dataset: ai-fine
  model.examples: 320
  sft: {{examples: 96}}
  reward_model: {{epochs: 1, normalization_prompts: 16}}
  policy: {{rollouts_per_step: 16, batch_size: 8, max_new_tokens: 12}}
  rejection_sampling: {{samples_per_prompt: 2, prompts_examples: 40}}
  d2po: {{labels_per_round: 8, relabel_every_steps: 1}}
  evaluation: {{limit: 1, samples: 1}}
  reward_evaluation: {{examples: 8, best_of_prompts: 0}}
seeds: 1
grid: {{algorithm: [{arms}]}}
match: {{{unit}: {amount}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("matched")


def spent(folder: Path, unit: str, *, arms: str, amount: float) -> dict[str, dict[str, Any]]:
    """Run a study of these arms; return the manifest of what samples or trains, by arm."""
    path = folder / f"{unit}.yaml"
    path.write_text(STUDY.format(unit=unit, arms=arms, amount=amount))
    environment = {name: value for name, value in os.environ.items() if name != "ABLATE_STORE"}
    command = [sys.executable, "-m", "ablate", "run", path.name, "--no-tracking", "--no-report"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    store = folder / ".ablate"
    runs = json.loads((store / "studies" / f"match-{unit}" / "runs.json").read_text())["runs"]
    found = {}
    for run in runs:
        stage = "samples" if "samples" in run["jobs"] else "policy"
        place = store / "artifacts" / stage / run["jobs"][stage]
        manifest = json.loads((place / "manifest.json").read_text())
        lines = (place / "metrics.jsonl").read_text() if stage == "policy" else ""
        manifest["lines"] = [json.loads(line) for line in lines.splitlines()]
        found[run["levels"]["algorithm"]] = manifest
    return found


@pytest.mark.parametrize(("unit", "amount"), [("generated_tokens", 1500), ("reward_calls", 200)])
def test_arms_that_sample_end_with_the_step_that_reaches_the_budget(folder, unit, amount):
    arms = spent(folder, unit, arms="rloo, online_dpo, rejection_sampling", amount=amount)
    for name in ("rloo", "online_dpo"):
        used = [line[f"used_{unit}"] for line in arms[name]["lines"]]
        assert used[-1] == arms[name]["counts"][unit]
        assert used[-2] < amount <= used[-1]
    # Rejection sampling ends between two checkpoints: 40 prompts, two completions of up to 12
    # tokens each. Its 80 completions of one pass are not enough, so it makes further passes.
    used = arms["rejection_sampling"]["counts"]
    step = {"generated_tokens": 80 * 12, "reward_calls": 80}[unit]
    assert amount <= used[unit] < amount + step
    assert used["reward_calls"] > 80


def test_preferences_are_equal_to_the_last_label(folder):
    arms = spent(folder, "preferences", arms="dpo, d2po", amount=60)
    assert arms["dpo"]["counts"]["preferences"] == 60
    # Half of the labels trained the first reward model; 30 are bought, eight a step, then six.
    assert [line["used_preferences"] for line in arms["d2po"]["lines"]][:5] == [8, 16, 24, 30, 30]
    assert arms["d2po"]["counts"]["preferences"] == 30


def test_a_budget_of_seconds_is_spent_by_both_kinds_of_arms(folder):
    arms = spent(folder, "seconds", arms="dpo, rloo", amount=1.5)
    for name in ("dpo", "rloo"):
        assert sum(arms[name]["timings"].values()) >= 1.5
