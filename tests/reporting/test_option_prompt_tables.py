"""One option at a time, and prompt sets by reward model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ablate.reporting.findings import analyse
from ablate.reporting.option_table import option_table, options_of
from ablate.reporting.prompt_table import prompt_table
from ablate.reporting.records import StudyRecord
from ablate.reporting.table_csv import table_csv

from . import builders
from .builders import Fake, Size

USUAL = {"algorithm": "ppo", "policy.whiten": "true", "policy.gamma": "1", "policy.value": "rm"}


@pytest.fixture(scope="module")
def options_study(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    """A baseline and three options; the middle one of the file does most harm."""
    root: Path = tmp_path_factory.mktemp("options")
    fakes = [
        Fake("baseline", USUAL, 0.8),
        Fake("policy.whiten=false", {**USUAL, "policy.whiten": "false"}, 0.7),
        Fake("policy.value=sft", {**USUAL, "policy.value": "sft"}, -0.4),
        Fake("policy.gamma=0.9", {**USUAL, "policy.gamma": "0.9"}, 0.8),
        Fake("two at once", {**USUAL, "policy.gamma": "0.9", "policy.whiten": "false"}, 0.1),
    ]
    study = builders.study_of(
        root, fakes, Size(seeds=2, items=30), design="one_factor_at_a_time", baseline="baseline"
    )
    spent = {"policy.value=sft": 20.0, "baseline": 40.0}
    runs = [replace(r, spent={"seconds": spent.get(r.cell, 44.0)}) for r in study.runs]
    return replace(study, runs=tuple(runs))


@pytest.fixture(scope="module")
def prompts_study(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    root: Path = tmp_path_factory.mktemp("prompts")
    fakes = [Fake("SFT", {}, 0.0, kind="sft", kl_coef=None)]
    for size in ("small", "large"):
        for name, gain in (("dataset", 0.0), ("tiny-mixed", 1.2)):
            if (size, name) != ("large", "tiny-mixed"):
                levels = {"algorithm": "ppo", "reward_model.size": size, "prompts": name}
                fakes.append(Fake(f"{size} {name}", levels, gain))
    return builders.study_of(root, fakes, Size(seeds=2, items=30))


def test_options_are_ordered_by_the_size_of_what_they_do(options_study: StudyRecord) -> None:
    found = analyse(options_study)
    table = option_table(found)
    assert table is not None
    sizes = [abs(row[3].sort or 0.0) for row in table.rows]
    assert sizes == sorted(sizes, reverse=True)
    first = table.rows[0]
    assert [cell.text for cell in first[:3]] == ["policy.value", "sft", "rm"]
    # 20 seconds where the baseline spends 40.
    assert first[6].text == "× 0.50"
    row = next(r for r in found.rows("baseline") if r.treatment == "policy.value=sft")
    assert first[3].sort == row.effect.value and first[5].text.endswith(row.verdict.value)


def test_a_cell_that_changes_two_factors_is_no_option(options_study: StudyRecord) -> None:
    names = [option.cell for option in options_of(analyse(options_study))]
    assert names == ["policy.whiten=false", "policy.value=sft", "policy.gamma=0.9"]


def test_a_grid_has_no_table_of_options(grid_study: StudyRecord) -> None:
    assert option_table(analyse(grid_study)) is None


def test_prompt_sets_are_compared_under_the_same_reward_model(prompts_study: StudyRecord) -> None:
    found = analyse(prompts_study)
    table = prompt_table(found)
    assert table is not None
    assert table.columns == ("prompts", "small", "large")
    assert table.spans == (("", 1), ("Average (%)", 2))
    assert [row[0].text for row in table.rows] == ["dataset", "tiny-mixed"]
    small, large = table.rows[1][1:]
    means = {
        cell: sum(found.evidence.values(cell, "average").values()) / 2
        for cell in ("small dataset", "small tiny-mixed")
    }
    gained = means["small tiny-mixed"] - means["small dataset"]
    assert f"{gained:+.1f}" in small.sub
    assert small.tone == ("better" if small.hint == "better" else "")
    assert (large.text, large.hint) == ("–", "not in the study")
    assert "Average (%): small: value" in table_csv(table).splitlines()[0]


def test_one_prompt_set_is_no_comparison(grid_study: StudyRecord) -> None:
    assert prompt_table(analyse(grid_study)) is None
