"""A study with both ways of labelling, from its file to its report."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

STUDY = """
study: labels
base:
  model: tiny-instruct
  model.hidden_size: 16
  model.layers: 1
  model.heads: 2
  model.intermediate_size: 16
  model.examples: 256
  sft: null
  dataset: human-noisy
  preferences.examples: 40
  algorithm: dpo
  dpo: {epochs: 1, batch_size: 16}
  labels: {reward: noun-count, samples_per_prompt: 4, max_new_tokens: 8}
  reward_evaluation: {examples: 8, best_of_prompts: 0}
  evaluation: {limit: 1, samples: 1}
baseline: off_policy
seeds: 1
cells:
  off_policy: {labels.generations: off_policy}
  on_policy: {labels.generations: on_policy}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    (folder / "labels.yaml").write_text(STUDY, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "ABLATE_STORE"}
    done = subprocess.run(
        [sys.executable, "-m", "ablate", "run", "labels.yaml"],
        cwd=folder, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def summaries(folder: Path) -> list[dict[str, Any]]:
    found = sorted(folder.glob("**/artifacts/labels/*/summary.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in found]


def test_one_study_compares_both_ways_of_labelling(folder: Path) -> None:
    off, on = sorted(summaries(folder), key=lambda made: "rejected_cut" in made)
    assert off["pairs"] == 40 == off["kept"] + off["flipped"] + off["ties"]
    assert on["flipped"] == on["ties"] == 0
    assert on["pairs"] + sum(on["dropped"].values()) <= 40


def test_the_report_says_what_every_way_of_labelling_spent(folder: Path) -> None:
    """Two replies of 40 pairs; four to every prompt of at most 40, which cost no label."""
    with open(folder / "reports" / "labels" / "results.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["level"] == "cost"]
    spent = {(row["cell"], row["metric"]): float(row["value"]) for row in rows}
    off, on = sorted(summaries(folder), key=lambda made: "rejected_cut" in made)
    assert spent["off_policy", "reward_calls"] == 80
    assert spent["off_policy", "generated_tokens"] == 0
    # Where the function sees no difference, the data set's label stays and is spent.
    assert spent["off_policy", "preferences"] == off["ties"]
    prompts = on["pairs"] + sum(on["dropped"].values())
    assert spent["on_policy", "reward_calls"] == 4 * prompts
    assert 0 < spent["on_policy", "generated_tokens"] <= 4 * prompts * 8
    assert spent["on_policy", "preferences"] == 0
