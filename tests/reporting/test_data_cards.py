"""The report's data section: what it counts, what it warns of, and that it trusts no text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.data.artifacts import CARD, DROPPED, SUMMARY, ItemWriter
from ablate.data.contamination import RESULT, contamination_record
from ablate.data.hygiene.card import CardBuilder
from ablate.data.hygiene.exposure import Exposure, Finding
from ablate.data.records import Dropped, Judged, Pair, Prompt, user
from ablate.data.shaping.items import Item
from ablate.data.shaping.ledger import Ledger
from ablate.reporting.data_cards import data_report
from ablate.reporting.records import StudyRecord
from ablate.reporting.report import build_report

from . import builders

HOSTILE = "<script>alert(1)</script> \x1b[2J\u202e | *b* `c`"


def pairs(*prompts: str) -> list[Item]:
    return [
        Judged(Pair(f"set-{n}", user(prompt), f"good {n}", f"bad {n}", source="set"))
        for n, prompt in enumerate(prompts, start=1)
    ]


def artifact(folder: Path, items: Sequence[Item], stage: str, **config: object) -> Path:
    """Leave in a folder what a data stage leaves; row 7 was left out for an empty reply."""
    folder.mkdir(parents=True)
    builder = CardBuilder("set")
    with Ledger(folder / DROPPED) as ledger, ItemWriter(folder) as writer:
        ledger.drop(Dropped(7, "empty_chosen"), "set")
        for item in items:
            ledger.read["set"] += 1
            writer.add(item)
            builder.add(item)
    (folder / CARD).write_text(builder.card(ledger=ledger).to_json(), encoding="utf-8")
    builders.write_manifest(
        folder, stage, {"dataset": "set", "seed": 0, **config}, builders.Fake("x", {})
    )
    return folder


def with_data(study: StudyRecord, folders: Mapping[str, Path], **changes: object) -> StudyRecord:
    """Give every run of a study the same data artifacts, by role."""
    runs = tuple(
        replace(
            run,
            artifacts={**run.artifacts, **folders},
            fingerprints={**run.fingerprints, **{k: f"key-{k}" for k in folders}},
        )
        for run in study.runs
    )
    return replace(study, runs=runs, **changes)  # type: ignore[arg-type]


@pytest.fixture
def study(tmp_path: Path) -> StudyRecord:
    size = builders.Size(seeds=1, items=8)
    fakes = [
        builders.Fake("SFT", {}, kind="sft", kl_coef=None),
        builders.Fake("PPO", {"algorithm": "ppo"}, 0.5, rm_logit=0.3),
    ]
    made = builders.study_of(tmp_path / "study", fakes, size, baseline="SFT")
    ran = [replace(run, artifacts={**run.artifacts, "reward_model": None}) for run in made.runs]
    return replace(made, runs=tuple(ran))


def test_a_study_without_cards_has_no_data_section(study):
    assert data_report(study).cards == ()


def test_a_card_counts_rows_names_those_left_out_and_cuts_the_example(study, tmp_path):
    items = pairs("a question", "word " * 1000)
    folder = artifact(tmp_path / "data", items, "preferences")
    (card,) = data_report(with_data(study, {"preferences": folder})).cards
    facts = dict(card.facts)
    assert (facts["rows"], facts["left out"]) == ("2", "empty_chosen 1 (row 7)")
    assert [part for part, _ in card.example] == ["prompt", "chosen", "rejected"]
    assert card.title == "set"


def test_a_data_set_has_the_name_that_the_study_gives_it(study, tmp_path):
    folder = artifact(tmp_path / "data", pairs("a"), "preferences")
    named = with_data(study, {"preferences": folder}, data_names={"key-preferences": "mine"})
    assert data_report(named).cards[0].title == "mine"


def test_what_differs_in_its_seed_alone_has_one_card(study, tmp_path):
    folders = {
        f"prompts{n or ''}": artifact(tmp_path / str(n), pairs("a"), "prompts", seed=n)
        for n in range(3)
    }
    assert len(data_report(with_data(study, folders)).cards) == 1


def test_labels_of_different_data_have_a_card_each(study, tmp_path):
    """Two cells label two data sets by the same fields; the seeds of a cell are one card."""
    runs = []
    for number, run in enumerate(study.runs):
        for seed in (0, 1):
            place = tmp_path / f"{number}-{seed}"
            folder = artifact(place, pairs(*"ab"[: number + 1]), "labels", seed=seed)
            (folder / SUMMARY).write_text('{"flipped": 0, "pairs": 1, "ties": 0}')
            key = {"labels": f"key-{number}-{seed}"}
            runs.append(replace(run, seed=seed, artifacts={"labels": folder}, fingerprints=key))
    report = data_report(replace(study, runs=tuple(runs)))
    assert [dict(card.facts)["rows"] for card in report.cards] == ["1", "2"]
    assert [row[-1].text for row in report.tables[0].rows] == ["SFT", "PPO"]


def test_contamination_is_a_table_and_a_warning(study, tmp_path):
    """Two of the suite's four documents are in the data: one whole, one in large part."""
    data = artifact(tmp_path / "data", pairs("a"), "preferences")
    exposure = Exposure("set", "suite", 4)
    exposure.add([Finding("suite", "doc-1", "set-1", "prompt", "exact", 1.0)])
    exposure.add([Finding("suite", "doc-3", "set-1", "reply", "ngram", 0.6)])
    checked = tmp_path / "check"
    checked.mkdir()
    record = {**contamination_record(exposure), "split": "test"}
    (checked / RESULT).write_text(json.dumps(record))
    folders = {"preferences": data, "contamination_preferences": checked}
    found = data_report(with_data(study, folders))
    table = next(table for table in found.tables if table.name == "contamination")
    assert [cell.text for cell in table.rows[0]] == [
        *("set", "suite, test", "4", "1", "1", "50.0%", "2", "doc-1 in set-1, doc-3 in set-1")
    ]
    assert found.warnings == (
        "Contamination: set (preferences) holds 2 of the 4 documents of suite, test; scores of SFT,"
        " PPO on them may be memory.",
    )


def test_a_suite_that_nothing_holds_is_no_warning(study, tmp_path):
    data = artifact(tmp_path / "data", pairs("a"), "preferences")
    checked = tmp_path / "check"
    checked.mkdir()
    record = {**contamination_record(Exposure("set", "suite", 4)), "split": "test"}
    (checked / RESULT).write_text(json.dumps(record))
    folders = {"preferences": data, "contamination_preferences": checked}
    assert data_report(with_data(study, folders)).warnings == ()


def test_a_cap_that_is_not_reached_is_a_warning(study, tmp_path):
    folder = artifact(tmp_path / "data", pairs("a", "b"), "preferences", cap=5)
    (said,) = data_report(with_data(study, {"preferences": folder})).warnings
    assert "2 rows, fewer than its cap of 5" in said
    full = artifact(tmp_path / "full", pairs("a", "b"), "preferences", cap=2)
    assert data_report(with_data(study, {"preferences": full})).warnings == ()


def test_a_failed_check_is_a_warning(study, tmp_path):
    """Control characters in every row fail the check for broken text."""
    folder = artifact(tmp_path / "data", pairs("bell \x07"), "preferences")
    (said,) = data_report(with_data(study, {"preferences": folder})).warnings
    assert said == "set (preferences) failed broken characters: see its data card."


def test_checks_of_the_template_are_shown_once_and_failures_are_warnings(study, tmp_path):
    folders = {"preferences": artifact(tmp_path / "data", pairs("a"), "preferences")}
    fine = {"name": "template", "status": "ok", "found": "SHA-256 abc", "value": None}
    wrong = {"name": "beginning token", "status": "fail", "found": "twice", "value": 2.0}
    for n in range(2):
        builders.write_json(tmp_path / f"tokens_{n}" / "summary.json", {"checks": [fine, wrong]})
        folders[f"tokens_{n}"] = tmp_path / f"tokens_{n}"
    found = data_report(with_data(study, folders))
    table = next(table for table in found.tables if table.name == "templates")
    assert [row[0].text for row in table.rows] == ["template", "beginning token"]
    assert found.warnings == ("The chat template failed beginning token: twice",)


def test_prompts_that_reward_model_and_policy_share_are_counted(study, tmp_path):
    """Of the policy's four prompts one is the reward model's as well."""
    shared = "what is the name of the river that runs through this town"
    reward = artifact(tmp_path / "rm", pairs(shared, "another thing"), "preferences")
    asked = [shared, *(f"nobody else asks this {word}" for word in ("a", "b", "c"))]
    prompts: list[Item] = [Prompt(f"p-{n}", user(text)) for n, text in enumerate(asked)]
    policy = artifact(tmp_path / "policy", prompts, "prompts")
    found = data_report(with_data(study, {"preferences": reward, "prompts": policy}))
    table = next(table for table in found.tables if table.name == "prompt-overlap")
    assert [cell.text for cell in table.rows[0][3:]] == ["25%", "25%"]
    assert found.warnings == ()


def test_a_policy_that_asks_what_its_reward_model_knows_is_a_warning(study, tmp_path):
    asked = [f"what is the name of the river that runs through town {n}" for n in range(3)]
    reward = artifact(tmp_path / "rm", pairs(*asked), "preferences")
    prompts: list[Item] = [Prompt(f"p-{n}", user(text)) for n, text in enumerate(asked)]
    policy = artifact(tmp_path / "policy", prompts, "prompts")
    found = data_report(with_data(study, {"preferences": reward, "prompts": policy}))
    (said,) = found.warnings
    assert said.startswith("100% of the prompts of set are in set, the reward model's data, too")


def test_untrusted_text_is_escaped_in_every_format(study, tmp_path):
    folder = artifact(tmp_path / "data", pairs(HOSTILE), "preferences")
    named = with_data(study, {"preferences": folder}, data_names={"key-preferences": HOSTILE})
    files = build_report(named, tmp_path / "report")
    page, markdown = files.html.read_text(), files.markdown.read_text()
    assert "<script>alert(1)</script>" not in page and "&lt;script&gt;alert(1)" in page
    assert "<script>" not in markdown.replace("\\<", "")
    assert "\x1b[2J" not in page + markdown and "\u202e" not in page + markdown
    assert "<details><summary>The first row</summary>" in page


def test_the_same_artifacts_give_the_same_bytes(study, tmp_path):
    folder = artifact(tmp_path / "data", pairs("a", "b"), "preferences", cap=9)
    named = with_data(study, {"preferences": folder})
    first, second = (build_report(named, tmp_path / name) for name in ("one", "two"))
    assert first.html.read_bytes() == second.html.read_bytes()
    assert first.markdown.read_bytes() == second.markdown.read_bytes()
    assert "## Data" in first.markdown.read_text()


def test_a_judge_that_labelled_is_a_warning(study, tmp_path):
    folder = artifact(tmp_path / "data", pairs("a"), "preferences")
    named = with_data(study, {"preferences": folder}, data_notes=("the judge agrees.",))
    assert "the judge agrees." in data_report(named).warnings
    files = build_report(named, tmp_path / "report")
    assert "> the judge agrees." in files.markdown.read_text()
