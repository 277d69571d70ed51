"""What commands say of a study that tunes, before and while it runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablate.cli.forecast import Forecast
from ablate.cli.growing import (
    Growing,
    as_grown,
    foretell,
    fuse_of,
    pieces_of,
    whole,
)
from ablate.cli.main import main
from ablate.cli.opening import open_study
from ablate.cli.progress import Progress
from ablate.cli.stored import Recorded
from ablate.execution.tuning import TuningGrowth
from ablate.plan.build import Plan
from ablate.plan.estimate import Estimator
from ablate.plan.record import plan_document
from ablate.store.layout import Store

STUDY = """\
study: tuned
base: {model: tiny-instruct, dataset: ai-fine}
rows: [sft]
baseline: sft
seeds: 2
grid: {algorithm: [dpo, simpo]}
"""
TUNE = """\
tune:
  trials: 6
  parallel: 4
  search: {policy.learning_rate: {low: 1e-5, high: 1e-3, log: true}}
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tuned.yaml").write_text(STUDY + TUNE)
    return tmp_path / "tuned.yaml"


def test_the_plan_counts_trials_and_what_they_cost(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(study), "--no-data"]) == 0
    said = capsys.readouterr().out
    assert (
        "tuning: 2 arms × 6 trials = 12 runs on the validation split, 4 trials of an arm at a time"
        in said
    )
    assert main(["plan", str(study), "--no-data", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    stages = {row["stage"]: row["unique"] for row in document["stages"]}
    # Twelve trials, and two seeds of two arms; the row beside them has two evaluations.
    assert document["trials"] == 12 and stages["policy"] == 12 + 4
    assert stages["evaluation"] == 12 + 4 + 2 and document["runs"] == 6


def test_check_and_diff_speak_of_the_whole_study(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(study)]) == 0
    assert "ok, 3 cells, 6 runs" in capsys.readouterr().out
    fewer = study.with_name("fewer.yaml")
    fewer.write_text(STUDY + TUNE.replace("trials: 6", "trials: 4"))
    assert main(["plan", str(study), "--diff", str(fewer), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["added_jobs"]["policy"] > 0


def test_a_study_that_tunes_nothing_has_no_piece_that_grows(tmp_path: Path) -> None:
    (tmp_path / "plain.yaml").write_text(STUDY)
    opened = open_study(str(tmp_path / "plain.yaml"), [])
    store = Store(tmp_path / "store")
    assert pieces_of(opened, store) == []
    assert as_grown(opened, store).plan == opened.plan and whole(opened, store) is opened


def test_a_round_of_trials_may_fail_as_a_whole(study: Path, tmp_path: Path) -> None:
    # Rounds of four in two arms: the ninth equal failure stops the study, not the third.
    assert fuse_of(open_study(str(study), [])) == 9
    (tmp_path / "plain.yaml").write_text(STUDY)
    assert fuse_of(open_study(str(tmp_path / "plain.yaml"), [])) == 3


def test_whoever_watches_is_told_once_of_a_plan_that_grew(study: Path, tmp_path: Path) -> None:
    opened, told = open_study(str(study), []), list[Plan]()
    pieces = pieces_of(opened, Store(tmp_path / "store"))
    assert [type(piece) for piece in pieces] == [TuningGrowth]
    growing = Growing(opened.plan, pieces, told.append)
    first = list(growing({}))
    assert set(opened.plan.jobs) < set(first) and list(growing({})) == first
    assert len(told) == 1 and len(told[0].trials) == 8  # A round of four for each of two arms.
    runs = plan_document(growing.plan)["runs"]
    assert {"cell": "dpo, trial 0", "seed": 1000} == {k: runs[0][k] for k in ("cell", "seed")}


def test_counts_and_time_left_are_those_of_the_whole_search(study: Path, tmp_path: Path) -> None:
    opened, store = open_study(str(study), []), Store(tmp_path / "store")
    growing = Growing(opened.plan, pieces_of(opened, store), lambda plan: None)
    growing({})
    coming, estimator = growing.expected(), Estimator([])
    # Two arms of six trials, then three cells of two seeds.
    assert "/18 runs · 0/3 cells" in Progress(coming, estimator, slots=2).line()
    store.study("tuned").mkdir(parents=True)
    foretell(store, growing.plan, coming, estimator, slots=2)
    found = Forecast(store, "tuned", Recorded(jobs=[], runs=[]))
    # Known are a round of four for each arm and the baseline's two seeds.
    assert found.ahead.runs == 18 - 10
    assert found.ahead.jobs == len(coming.jobs) - len(growing.plan.jobs) > 8
    assert found.left({}, slots=2) == pytest.approx(found.ahead.seconds / 2)


CLASH = """\
study: clash
base: {model: tiny-instruct, dataset: ai-fine}
grid: {algorithm: [ppo]}
tune:
  trials: 1
  seed: 18
  search: {ppo.batch_size: [4, 8, 16], ppo.rollouts_per_step: [8, 16, 32]}
"""


def test_an_arm_of_which_no_trial_has_a_value_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """This seed draws minibatches of 16 of 8 rollouts, so there is no job that could fail."""
    monkeypatch.chdir(tmp_path)
    Path("clash.yaml").write_text(CLASH)
    assert main(["run", "clash.yaml", "--no-report", "--no-tracking", "--json"]) == 4
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert not found["complete"] and not found["failures"]
    assert found["without_results"] == {"ppo": "failed: none of 1 trials has a value"}
    assert "no results of 'ppo': failed: none of 1 trials has a value" in said.err
