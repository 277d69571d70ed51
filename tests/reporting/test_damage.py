"""What a report says of files that changed, of a folder it may not write, of unknown letters."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.errors import SurroundingsError
from ablate.plan.build import Plan, plan_study
from ablate.reporting.artifacts import read_lines
from ablate.reporting.collect import study_record
from ablate.reporting.figures.save import canvas, rendered
from ablate.reporting.findings import analyse
from ablate.reporting.records import StudyRecord
from ablate.reporting.report import build_report
from ablate.reporting.summary import observed
from ablate.spec.analysis import Analysis
from ablate.spec.load import LoadedStudy, load_study
from ablate.store.files import sha256
from ablate.store.layout import Store

from .builders import Fake, write_manifest

STUDY = "study: s\nbase: {model: tiny-instruct, dataset: ai-fine}\ngrid: {algorithm: [dpo]}\n"


def committed(folder: Path) -> Path:
    """Write an evaluation of one file, recorded as the controller records it."""
    folder.mkdir(parents=True)
    scores = folder / "scores.json"
    scores.write_text('{"metrics": []}')
    write_manifest(folder, "evaluation", {}, Fake("dpo", {}))
    record = json.loads((folder / "manifest.json").read_text())
    record["files"] = {"scores.json": {"size": 15, "sha256": sha256(scores)}}
    (folder / "manifest.json").write_text(json.dumps(record))
    return scores


@pytest.fixture
def planned(tmp_path: Path) -> tuple[LoadedStudy, Plan, Store]:
    (tmp_path / "s.yaml").write_text(STUDY)
    loaded = load_study(tmp_path / "s.yaml", ())
    return loaded, plan_study(loaded), Store(tmp_path / "store")


@pytest.mark.parametrize("content", ["#" * 15, '{"metrics": {}}', ""])
def test_an_evaluation_of_other_content_than_was_written_is_left_out(
    planned: tuple[LoadedStudy, Plan, Store], content: str
) -> None:
    loaded, plan, store = planned
    fingerprint = plan.runs[0].jobs["evaluation"].fingerprint
    scores = committed(store.artifact("evaluation", fingerprint))
    assert study_record(loaded, plan, store).runs[0].missing is None
    scores.write_text(content)
    expected = f"artifacts/evaluation/{fingerprint} is damaged; remove it and run again"
    assert study_record(loaded, plan, store).runs[0].missing == expected


def test_a_report_folder_that_cannot_be_made_is_said_and_not_a_bug(
    one_seed_study: StudyRecord, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(SurroundingsError, match=r"cannot be written \(Not a dir.*--reports"):
        build_report(one_seed_study, tmp_path / "taken" / "small")
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_damaged_line_of_samples_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text("####\n")
    with pytest.raises(SurroundingsError, match=r"samples.jsonl: cannot be read as JSON lines"):
        list(read_lines(tmp_path / "samples.jsonl"))


def test_a_letter_that_the_font_lacks_is_drawn_without_a_warning() -> None:
    with canvas(2, 1) as figure:
        figure.add_subplot(title="\N{PARTY POPPER}")
        assert rendered(figure, "x", title="", caption="", alt="").png


def test_a_primary_metric_that_nothing_measured_is_named_with_the_nearest(
    one_seed_study: StudyRecord,
) -> None:
    text = " ".join(observed(analyse(replace(one_seed_study, analysis=Analysis(primary="avrage")))))
    assert "No evaluation measured the primary metric 'avrage'" in text
    assert "Did you mean 'average'? Correct analysis.primary." in text
    assert "has finished yet" not in text
