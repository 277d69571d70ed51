from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from ablate.tracking.flatten import clean_name, final_scores, flatten, step_metrics


def test_a_configuration_is_flattened_to_dotted_names() -> None:
    config = {"policy": {"beta": 0.1, "lora": None, "on": True, "to": ["q", "v"], "empty": []}}
    assert flatten(config) == {
        "policy.beta": "0.1",
        "policy.lora": "none",
        "policy.on": "true",
        "policy.to.0": "q",
        "policy.to.1": "v",
        "policy.empty": "[]",
    }


@pytest.mark.parametrize("name", ["loss", "evaluation/average", "a b.c-d_e:f"])
def test_a_name_that_mlflow_takes_stays(name: str) -> None:
    assert clean_name(name) == name


ODD_NAMES = ["a[0]", "../up", "/top", "a//b", "", "é", "it's", "x" * 251, "a/"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_other_name_becomes_one_that_mlflow_takes(name: str) -> None:
    clean = clean_name(name)
    assert clean != name and clean_name(clean) == clean and len(clean) <= 250
    assert not set(clean) & set("[]'") and not clean.startswith(("/", "."))


def test_two_names_never_become_one() -> None:
    assert clean_name("a[0]") != clean_name("a(0)")


def test_a_long_value_is_cut_to_what_mlflow_takes() -> None:
    assert len(flatten({"template": "x" * 7000})["template"]) == 6000


def test_null_is_nan_and_the_last_line_of_a_step_holds(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines: list[dict[str, object]] = [
        {"step": 1, "loss": 3.0},
        {"step": 2, "loss": 2.0},
        {"step": 2, "loss": None, "note": "text"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (first, second) = step_metrics(path)
    assert first == (1, "loss", 3.0)
    assert second[:2] == (2, "loss") and math.isnan(second[2])


def test_a_stage_without_metrics_or_scores_has_none(tmp_path: Path) -> None:
    assert list(step_metrics(tmp_path / "metrics.jsonl")) == []
    assert final_scores(tmp_path / "scores.json", "evaluation") == []
