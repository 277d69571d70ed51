"""Results in a notebook: a study by file, name or record; frames, tables, figures."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from stored_toys import ITEMS, stored, write_study

import ablate
from ablate.errors import SurroundingsError
from ablate.reporting.frames import StudyResults
from ablate.reporting.records import StudyRecord
from ablate.reporting.study_tables import frame_of
from ablate.reporting.tables import Cell, RowGroup, Table
from ablate.spec.analysis import Analysis
from ablate.store.layout import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in which the study ``one`` has run; its file is ``one.yaml`` beside it."""
    store = Store(tmp_path / "store")
    stored(write_study(tmp_path, "one"), store, ITEMS)
    return store


@pytest.fixture(scope="module")
def study(grid_study: StudyRecord) -> StudyResults:
    """The synthetic grid, computed once."""
    return StudyResults(grid_study)


def test_a_study_opens_by_file_by_name_and_by_record_alike(store: Store, tmp_path: Path) -> None:
    by_name = ablate.open_study("one", store)
    again = [ablate.open_study(tmp_path / "one.yaml", store.root), ablate.open_study(by_name)]
    again += [ablate.open_study(by_name.record), ablate.open_study(by_name.findings)]
    for other in again:
        assert other.results.equals(by_name.results) and other.effects.equals(by_name.effects)
    assert repr(by_name) == "<study one: 4 of 4 runs complete, 2 cells>"


def test_a_store_is_named_by_the_environment(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_STORE", str(store.root))
    assert len(ablate.load_results("one")) == 8  # 4 runs, a category and the average each.
    assert list(ablate.effects_frame("one")["delta"]) == [25, 25]


def test_a_name_that_no_store_has_is_told_with_the_nearest(store: Store) -> None:
    with pytest.raises(SurroundingsError, match=r"'oen': no study file.*Did you mean 'one'\?"):
        ablate.open_study("oen", store)


def test_a_study_without_a_finished_job_says_what_to_do(store: Store, tmp_path: Path) -> None:
    file = write_study(tmp_path, "two", beta=0.7)
    file.write_text(file.read_text().replace("rows: [sft]\nbaseline: sft\n", ""))
    with pytest.raises(SurroundingsError, match="no finished job of study two.*Run it first"):
        ablate.open_study(file, store)
    with pytest.raises(SurroundingsError, match="There is no such store"):
        ablate.open_study(file, tmp_path / "nowhere")


def test_a_stored_study_keeps_the_changes_of_the_command_line(store: Store, tmp_path: Path) -> None:
    """Without ``--set`` the stored file would plan four runs and find two."""
    record = {"folder": str(tmp_path), "sets": ["seeds=1"]}
    (store.study("one") / "runs.json").write_text(json.dumps(record))
    assert len(ablate.open_study("one", store).record.runs) == 2


def test_a_stored_study_whose_files_are_gone_asks_for_its_file(
    store: Store, tmp_path: Path
) -> None:
    path = store.study("one") / "study.yaml"
    path.write_text(path.read_text().replace("dataset: ai-fine", "dataset: ./pairs.jsonl"))
    with pytest.raises(SurroundingsError, match="one cannot be opened by its name"):
        ablate.open_study("one", store)


def test_a_run_without_a_result_says_why_as_the_report_does(store: Store) -> None:
    failed = ablate.open_study("one", store).record.runs[-1].fingerprints["evaluation"]
    folder = store.artifact("evaluation", failed)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    row = {"fingerprint": failed, "kind": "out_of_memory", "message": "too large"}
    (store.study("one") / "status.json").write_text(json.dumps({"failed": [row]}))
    results = ablate.load_results("one", store)
    (missing,) = (row for row in results.itertuples() if row.missing_reason)
    assert missing.missing_reason == "failed: out_of_memory: too large"
    assert math.isnan(missing.value)


def test_every_table_comes_as_values_as_text_and_as_long_form(study: StudyResults) -> None:
    values, text = study.table("comparison"), study.table("comparison", "text")
    assert values is not None and text is not None
    frame = study.results
    mine = frame[(frame["cell"] == "ppo ai-fine") & (frame["metric"] == "average")]
    mean = mine[mine["stage"] == "evaluation"]["value"].mean()
    assert values.loc["ppo ai-fine", "Average (%)"] == pytest.approx(mean, abs=1e-12)
    assert str(text.loc["ppo ai-fine", "Average (%)"]).startswith(f"{mean:.1f}")
    assert list(values.index) == list(text.index) and list(values) == list(text)


def test_an_interval_of_a_table_is_that_of_the_effect(study: StudyResults) -> None:
    long = ablate.make_table("effects-baseline", study, form="long")
    assert long is not None
    shown = long[long["column"] == "Δ [95 % CI]"].set_index("row")
    effects = study.effects
    own = effects[(effects["kind"] == "baseline") & (effects["metric"] == "average")]
    own = own.set_index("label")
    for name, other in (("value", "delta"), ("low", "low"), ("high", "high")):
        assert list(shown[name]) == list(own.loc[shown.index, other])


def test_an_undefined_field_is_not_a_number_and_keeps_its_dash(tmp_path: Path) -> None:
    rows = (
        (Cell("one"), Cell("1.2", sub="± 0.1", sort=1.23)),
        (Cell("two"), Cell("–", hint="not run")),
    )
    table = Table("t", "", ("cell", "score"), rows)
    values, text, long = (frame_of(table, form) for form in ("values", "text", "long"))
    assert values["score"].iloc[0] == 1.23 and math.isnan(values["score"].iloc[1])
    assert list(text["score"]) == ["1.2 ± 0.1", "–"]
    assert list(long["hint"]) == ["", "not run"]


def test_groups_and_titles_over_columns_stay_with_their_numbers() -> None:
    rows = tuple((Cell(head), Cell("1", sort=1.0)) for head in ("DPO", "PPO", "DPO"))
    groups, spans = (RowGroup("Web", 2), RowGroup("Human", 1)), (("", 1), ("Average", 1))
    table = Table("t", "", ("arm", "score"), rows, groups=groups, spans=spans)
    frame = frame_of(table)
    assert list(frame.index) == [("Web", "DPO"), ("Web", "PPO"), ("Human", "DPO")]
    assert list(frame.columns) == ["Average: score"]
    assert list(frame_of(table, "long")["group"]) == ["Web", "Web", "Human"]


def test_tables_and_figures_are_listed_and_a_wrong_name_gives_the_nearest(
    study: StudyResults,
) -> None:
    assert set(study.tables) >= set(ablate.TABLES) and set(study.figures) == set(ablate.FIGURES)
    assert ablate.make_table("effects-step", study) is None  # A grid has no steps.
    with pytest.raises(ValueError, match="Did you mean 'comparison'"):
        ablate.make_table("comparision", study)
    with pytest.raises(ValueError, match="Did you mean 'forest'"):
        ablate.make_figure("forrest", study)
    with pytest.raises(ValueError, match="Did you mean 'values'"):
        study.table("comparison", cast(Any, "value"))
    with pytest.raises(ValueError, match="Did you mean 'levels'"):
        ablate.factors_frame(study, rows=cast(Any, "level"))


def test_a_declared_comparison_has_a_table_of_its_own(grid_study: StudyRecord) -> None:
    contrast = {"treatment": "ppo ai-fine", "control": "dpo ai-fine"}
    declared = Analysis.model_validate({"contrasts": [contrast]})
    study = ablate.open_study(replace(grid_study, analysis=declared))
    assert "effects-declared-1" in study.tables
    frame = study.table("effects-declared-1")
    assert frame is not None and len(frame) == 1


def test_a_figure_has_a_style(study: StudyResults) -> None:
    screen, slide = study.figure("forest"), study.figure("forest", style="slides")
    assert screen is not None and slide is not None and slide.svg != screen.svg
    with pytest.raises(ValueError, match="Did you mean 'slides'"):
        study.figure("forest", style="slide")
