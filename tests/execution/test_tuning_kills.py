"""A study that tunes, undisturbed and killed twice: the same trials, values and results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_study import contents
from toy_tuning import DIVERGES, STUDY, loaded, tune

from ablate.execution.book import JobState
from ablate.plan.build import Plan
from ablate.plan.searching import TrialState
from ablate.reporting.tuned import tuned_plan, tuned_record
from ablate.store.layout import Store

SCRIPT = Path(__file__).with_name("toy_tuning.py")


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Plan]:
    """The store of the study that nobody disturbed, and its plan in the end."""
    store = Store(tmp_path_factory.mktemp("calm") / "store")
    sizes: list[int] = []
    outcome, plan = tune(store, grew=lambda grown: sizes.append(len(grown.trials)))
    assert sizes == sorted(sizes) and len(sizes) > 3  # It grew, round by round and rung by rung.
    failed = [name for name, state in outcome.states.items() if state is JobState.FAILED]
    assert failed and len(failed) == len(
        [f for f in outcome.failures.values() if "not finite" in f.message]
    )
    return store, plan


def committed(store: Store) -> int:
    folder = store.root / "artifacts" / "evaluation"
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def kill_at(store: Store, count: int) -> None:
    """Run the study as a process of its own and SIGKILL it once so many evaluations are there."""
    command = [sys.executable, str(SCRIPT), str(store.root)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        for _ in range(12_000):
            if committed(store) >= count or process.poll() is not None:
                break
            time.sleep(0.005)
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        os.kill(process.pid, signal.SIGKILL)


def test_a_study_that_is_run_again_tries_no_diverged_trial_again(calm: tuple[Store, Plan]) -> None:
    store, plan = calm
    before = contents(store)
    outcome, again = tune(store)
    assert outcome.failures and not outcome.count(JobState.DONE)
    assert all(len(store.attempts(name)) == 1 for name in outcome.failures)
    assert again.jobs == plan.jobs and contents(store) == before


def test_two_kills_end_with_the_trials_there_would_have_been(
    calm: tuple[Store, Plan], tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    kill_at(store, 2)  # Of four trials an arm in rounds of two, in the first round.
    before = committed(store)
    kill_at(store, 7)
    assert 2 <= before < committed(store) < committed(calm[0])
    _, plan = tune(store)
    assert [run.cell.name for run in plan.trials] == [run.cell.name for run in calm[1].trials]
    assert [job.fingerprint for job in plan.jobs] == [job.fingerprint for job in calm[1].jobs]
    assert contents(store) == contents(calm[0])


def test_the_results_are_the_best_trials_values_under_fresh_seeds(
    calm: tuple[Store, Plan],
) -> None:
    store, plan = calm
    tuned = tuned_record(loaded(), store, reasons=_failed(plan, store))
    assert tuned is not None
    for arm in tuned.arms:
        assert arm.is_done and arm.winner is not None
        rates = {t.number: float(str(t.values["policy.learning_rate"])) for t in arm.trials}
        failed = {t.number for t in arm.trials if t.state is TrialState.FAILED}
        assert failed == {number for number, rate in rates.items() if rate > DIVERGES}
        full = [t for t in arm.trials if t.state is TrialState.FINISHED]
        best = max(full, key=lambda trial: trial.scores[-1].value)
        assert arm.winner.number == best.number
        for run in plan.runs:
            if run.cell.name == arm.cell:
                config = run.jobs["policy"].config
                assert config.learning_rate == rates[best.number]  # type: ignore[attr-defined]
                assert config.seed == 0  # type: ignore[attr-defined]
                assert store.has("evaluation", run.jobs["evaluation"].fingerprint)


def test_a_reader_replays_the_plan_that_the_controller_had(calm: tuple[Store, Plan]) -> None:
    store, plan = calm
    replayed, _ = tuned_plan(loaded(), None, store, reasons=_failed(plan, store))
    assert [job.fingerprint for job in replayed.jobs] == [job.fingerprint for job in plan.jobs]
    assert replayed.pending == {}
    # Without the reasons the failed trials are waited for, and so is what follows from them.
    waiting, _ = tuned_plan(loaded(), None, store, reasons={})
    assert waiting.pending and not any(why.startswith("failed") for why in waiting.pending.values())
    assert set(waiting.jobs) < set(plan.jobs)


def test_more_trials_run_only_what_is_new(calm: tuple[Store, Plan]) -> None:
    store, plan = calm
    there = {run.jobs["evaluation"].fingerprint for run in plan.trials}
    more = STUDY.replace("trials: 4", "trials: 6")
    grown, _ = tuned_plan(loaded(more), None, store, reasons=_failed(plan, store))
    asked = {run.jobs["evaluation"].fingerprint for run in grown.trials}
    # A third round of two for each of two arms, on its first rung; the values wait for it.
    assert there < asked and len(asked - there) == 4
    assert [run.cell.name for run in grown.runs] == ["sft"]


def _failed(plan: Plan, store: Store) -> dict[str, str]:
    """Return the reasons that a controller's last word has, by fingerprint."""
    return {
        job.fingerprint: "failed: non_finite_loss"
        for job in plan.jobs
        if not store.has(job.stage, job.fingerprint)
    }
