"""Plans that grow by seeds: who gets them, when they are asked for, and that a kill changes none.

The controller's part is played here: what is asked for is committed with written-down scores.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ablate.cli.growing import Growing, as_grown, pieces_of
from ablate.cli.main import main
from ablate.cli.opening import OpenStudy, open_study
from ablate.execution.book import JobState
from ablate.plan.build import Plan, Run, at_last_look, plan_study
from ablate.plan.power import sight
from ablate.reporting.collect import study_record
from ablate.reporting.findings import analyse
from ablate.spec.load import load_study
from ablate.stats.power import planned_effect
from ablate.store.layout import Store
from tests.stored_toys import commit, write_evaluation

STUDY = """\
study: looked
base: {model: tiny-instruct, dataset: ai-fine}
rows: [sft]
baseline: sft
seeds: {looks: [2, 3, 5], spend: even}
grid: {algorithm: [dpo, ppo]}
analysis: {contrasts: [baseline]}
"""
RATES = {"sft": 0.3, "dpo": 0.95, "ppo": 0.34}
"""Share of right answers: DPO is clearly better, PPO is not told apart with five seeds."""
States = dict[str, JobState]


@pytest.fixture
def opened(tmp_path: Path) -> OpenStudy:
    file = tmp_path / "looked.yaml"
    file.write_text(STUDY)
    return open_study(str(file), [])


def run_it(store: Store, run: Run, states: States) -> None:
    """End every job of a run; its evaluation gets 60 items right or wrong by the cell's rate."""
    for job in run.jobs.values():
        states[job.fingerprint] = JobState.DONE
    job = run.jobs["evaluation"]
    folder = store.artifact(job.stage, job.fingerprint)
    if not folder.exists():
        rng = np.random.default_rng([len(run.cell.name), run.seed])
        folder.mkdir(parents=True)
        write_evaluation(folder, (rng.random(60) < RATES[run.cell.name]).astype(float).tolist())
        commit(folder, job.stage, job.config.model_dump(mode="json"))


def played(opened: OpenStudy, store: Store, *, kill_after: int | None = None) -> Plan:
    """Run all that is asked for, or so many runs; return the plan as it has grown."""
    growing = Growing(opened.plan, pieces_of(opened, store), lambda plan: None)
    states: States = {}
    left = kill_after
    while True:
        growing(states)
        waiting = [
            run for run in growing.plan.runs if run.jobs["evaluation"].fingerprint not in states
        ]
        if not waiting or left == 0:
            return growing.plan
        run_it(store, waiting[0], states)
        left = None if left is None else left - 1


def seeds_of(plan: Plan) -> dict[str, int]:
    return {cell.name: sum(run.cell.name == cell.name for run in plan.runs) for cell in plan.cells}


def test_seeds_go_to_both_cells_of_what_is_inconclusive(opened: OpenStudy, tmp_path: Path) -> None:
    plan = played(opened, Store(tmp_path / "store"))
    assert seeds_of(plan) == {"sft": 5, "dpo": 2, "ppo": 5}
    assert seeds_of(opened.plan) == {"sft": 2, "dpo": 2, "ppo": 2}


def test_the_next_look_is_asked_for_when_every_run_of_this_one_has_ended(
    opened: OpenStudy, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    # Six runs are the first look; two more, of the cells that go on, the second.
    sizes = [len(played(opened, store, kill_after=count).runs) for count in range(9)]
    assert sizes == [6, 6, 6, 6, 6, 6, 8, 8, 12]


def test_a_killed_study_asks_for_the_same_again(opened: OpenStudy, tmp_path: Path) -> None:
    whole = played(opened, Store(tmp_path / "whole"))
    for kill in (1, 6, 7, 11):
        store = Store(tmp_path / f"killed {kill}")
        played(opened, store, kill_after=kill)
        again = played(opened, store)
        assert {j.fingerprint for j in again.jobs} == {j.fingerprint for j in whole.jobs}
        assert [(r.cell.name, r.seed) for r in again.runs] == [
            (r.cell.name, r.seed) for r in whole.runs
        ]


def test_a_report_sees_the_plan_that_the_results_asked_for(
    opened: OpenStudy, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    plan = played(opened, store)
    seen = as_grown(opened, store).plan
    assert [(run.cell.name, run.seed) for run in seen.runs] == [
        (run.cell.name, run.seed) for run in plan.runs
    ]
    found = analyse(study_record(opened.loaded, seen, store))
    stood = {row.treatment: row.standing for row in found.rows("baseline")}
    assert {cell: one.look.number for cell, one in stood.items() if one} == {"dpo": 1, "ppo": 3}


def test_a_cell_whose_run_failed_gets_no_further_seeds(opened: OpenStudy, tmp_path: Path) -> None:
    store, states = Store(tmp_path / "store"), dict[str, JobState]()
    growing = Growing(opened.plan, pieces_of(opened, store), lambda plan: None)
    for run in opened.plan.runs:
        if (run.cell.name, run.seed) == ("ppo", 1):
            states |= {run.jobs["policy"].fingerprint: JobState.FAILED}
            states |= {run.jobs["evaluation"].fingerprint: JobState.SKIPPED}
        else:
            run_it(store, run, states)
    growing(states)
    assert seeds_of(growing.plan) == {"sft": 2, "dpo": 2, "ppo": 2}


def test_jobs_of_further_seeds_are_those_of_a_study_with_more_seeds(opened: OpenStudy) -> None:
    grown = at_last_look(opened.loaded.study, opened.plan)
    plain = STUDY.replace("{looks: [2, 3, 5], spend: even}", "5")
    file = opened.loaded.source
    assert file.text == STUDY
    fixed = {job.fingerprint for job in grown.jobs}
    path = Path(str(file.name)).with_name("plain.yaml")
    path.write_text(plain)
    assert fixed == {job.fingerprint for job in plan_study(load_study(path)).jobs}


def test_plan_says_what_the_first_look_costs_and_the_most_of_all(
    opened: OpenStudy, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "looked.yaml"
    assert main(["plan", str(file), "--no-data", "--store", str(tmp_path / "store")]) == 0
    said = capsys.readouterr().out
    assert "3 cells × 2 seeds = 6 runs" in said
    assert "looks: at 2, 3, 5 seeds, levels 0.017, 0.017, 0.017" in said
    assert "all looks in every cell are 15 runs" in said


def test_the_detectable_difference_is_that_of_the_last_look(opened: OpenStudy) -> None:
    seen = sight(opened.loaded.study, opened.plan.cells)
    assert seen is not None and seen.seeds == 5
    # Three even looks and two comparisons: alpha / 6 at five seeds; six categories of 128 items.
    expected = planned_effect([128] * 6, 5, alpha=0.05 / 6)
    assert seen.detectable_points == pytest.approx(expected)
