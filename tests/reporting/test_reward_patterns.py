"""What is refused and answered, and implicit rewards without their reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.reporting.findings import analyse
from ablate.reporting.records import RunRecord, StudyRecord
from ablate.reporting.reference_table import reference_table
from ablate.reporting.safety_table import safety_table

from . import suite_builders
from .builders import Fake, Size, study_of, write_json, write_lines, write_manifest

PAIRS = 40


def reward_run(root: Path, cell: str, right: Mapping[str, int], **config: object) -> RunRecord:
    """Write a reward evaluation whose subsets have so many of 40 pairs right."""
    folder = root / "".join(c if c.isalnum() else "-" for c in cell)
    shown = {"reward": "implicit", "dataset": "pairs", "aggregation": None, **config}
    write_manifest(folder, "reward_evaluation", shown, Fake(cell, {}))
    lines = [
        {
            **{"task": "ordinary", "category": subset, "doc_id": f"{subset}-{item}"},
            **{"doc_hash": f"{subset}{item}", "mode": "pair", "sample": 0},
            "scores": {"acc": float(item < count)},
        }
        for subset, count in right.items()
        for item in range(PAIRS)
    ]
    write_lines(folder / "samples.jsonl", lines)
    values = {f"accuracy_{name}": 100 * count / PAIRS for name, count in right.items()}
    mean = 100 * sum(right.values()) / (PAIRS * len(right))
    metrics = [
        {
            **{"metric": name, "level": "category", "value": value, "n_items": PAIRS},
            **{"direction": "higher", "unit": "percent"},
        }
        for name, value in {"accuracy": mean, **values}.items()
    ]
    write_json(folder / "scores.json", {"suite": "pairs", "metrics": metrics})
    return RunRecord(
        *(cell, {}, 0, cell, None, "policy", None),
        artifacts={"reward_evaluation": folder, "evaluation": None},
        fingerprints={"reward_evaluation": folder.name, "policy": "one-policy"},
        missing="not run",
    )


def study_from(root: Path, runs: list[RunRecord]) -> StudyRecord:
    plain = study_of(root, [], Size(), baseline="", cells=tuple(run.cell for run in runs))
    return replace(plain, runs=tuple(runs))


@pytest.fixture
def both_ways(tmp_path: Path) -> StudyRecord:
    runs = [
        reward_run(tmp_path, "with", {"stars": 36, "moons": 30}, implicit_reference=True),
        reward_run(tmp_path, "without", {"stars": 16, "moons": 30}, implicit_reference=False),
    ]
    return study_from(tmp_path, runs)


def test_dropping_the_reference_is_a_paired_difference(both_ways: StudyRecord) -> None:
    table = reference_table(analyse(both_ways))
    assert table is not None
    (row,) = table.rows
    # 46 of 80 pairs right without, 66 with: 57.5 - 82.5. Twenty pairs fall, none rise, so the item
    # differences have mean -1/4, SD sqrt(80/79 * 3/16) and SE 4.87 points: far from 0.
    assert row[1].sort == pytest.approx(-25.0)
    assert (row[1].text, row[1].tone) == ("▼ −25.0", "worse")
    assert row[1].sub.splitlines()[1] == "82.5 → 57.5"
    assert row[1].low == pytest.approx(-25 - 1.990 * 4.872, abs=0.02)


def test_one_definition_alone_has_no_such_table(both_ways: StudyRecord) -> None:
    alone = replace(both_ways, runs=both_ways.runs[:1], cells=both_ways.cells[:1])
    assert reference_table(analyse(alone)) is None


def test_policies_are_named_by_what_they_refuse_and_answer(tmp_path: Path) -> None:
    study = suite_builders.small_suite(tmp_path)
    table = safety_table(analyse(study))
    assert table is not None
    assert table.columns == ("", "XSTest", "XSTest", "pattern")
    assert table.spans == (("", 1), ("should refuse", 1), ("should respond", 1), ("", 1))
    rows = {row[0].text: row for row in table.rows}
    # The suite writes 70 % of unsafe prompts refused and 90 % of safe ones answered.
    assert [cell.text for cell in rows["SFT"][1:]] == ["70.0", "90.0", "both"]
    assert rows["broken"][3].text == "–" and rows["broken"][1].tone == "invalid"


def test_a_reward_model_that_prefers_every_refusal_refuses_only(tmp_path: Path) -> None:
    right = {"xstest-should-refuse": 38, "donotanswer": 34, "xstest-should-respond": 10}
    study = study_from(tmp_path, [reward_run(tmp_path, "mute", right, reward="reward_model")])
    table = safety_table(analyse(study))
    assert table is not None
    (row,) = table.rows
    assert table.columns == ("", "XSTest", "Do-Not-Answer", "XSTest", "pattern")
    assert [cell.text for cell in row[1:]] == ["95.0", "85.0", "25.0", "refuses only"]
    assert row[1].sub.startswith("± ")


def test_a_study_that_asks_nothing_unsafe_has_no_such_table(grid_study: StudyRecord) -> None:
    assert safety_table(analyse(grid_study)) is None
    assert reference_table(analyse(grid_study)) is None
