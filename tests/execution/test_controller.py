import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_study import OPTIONS, contents, evaluation, pairs, run, spawned, study, training

from ablate.errors import SurroundingsError
from ablate.execution.book import JobState
from ablate.execution.failures import Failure, FailureClass
from ablate.execution.listener import Listener
from ablate.execution.options import Ahead, RunOptions
from ablate.plan.job import Job
from ablate.store.layout import Store
from ablate.store.manifest import Manifest


class Recorder(Listener):
    """Keeps the order of events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.failures: list[tuple[FailureClass, int, bool]] = []
        self.notes: list[str] = []

    def job_started(self, job: Job, attempt: int) -> None:
        self.events.append(("started", job.fingerprint))

    def job_progress(self, job: Job, progress: Mapping[str, Any]) -> None:
        self.events.append(("progress", job.fingerprint))

    def job_committed(self, job: Job, manifest: Manifest) -> None:
        self.events.append(("committed", job.fingerprint))

    def job_cached(self, job: Job, manifest: Manifest) -> None:
        self.events.append(("cached", job.fingerprint))

    def job_failed(self, job: Job, failure: Failure, *, attempt: int, retried: bool) -> None:
        self.failures.append((failure.kind, attempt, retried))

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_every_job_is_committed_after_the_jobs_it_reads_from(store: Store) -> None:
    jobs, recorder = study(seeds=1), Recorder()
    outcome = run(store, jobs, listener=recorder)
    assert outcome.complete and outcome.count(JobState.DONE) == 5
    committed = [name for event, name in recorder.events if event == "committed"]
    for job in jobs:
        policy = job.inputs[0][1]
        root = policy.inputs[0][1]
        order = [committed.index(item.fingerprint) for item in (root, policy, job)]
        assert order == sorted(order)


def test_a_second_run_finds_everything_cached_and_starts_no_process(store: Store) -> None:
    run(store, study(seeds=1))
    recorder = Recorder()
    outcome = run(store, study(seeds=1), listener=recorder)
    assert outcome.count(JobState.CACHED) == 5
    assert {event for event, _ in recorder.events} == {"cached"}


def test_forked_and_spawned_jobs_leave_the_same_bytes(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    run(store, study(seeds=1))
    run(other, study(seeds=1), options=spawned())
    assert contents(store) == contents(other) and len(contents(store)) == 7


def test_a_manifest_tells_identity_content_and_cost(store: Store) -> None:
    job = pairs()
    run(store, [job])
    manifest = store.manifest("preferences", job.fingerprint)
    assert manifest is not None
    assert (manifest.attempt, manifest.engine, manifest.study) == (1, "local", "toy")
    assert list(manifest.files) == ["nested/pairs"]
    assert manifest.files["nested/pairs"].size == 16 * 50
    assert manifest.counts == {"preferences": 50}
    assert manifest.timings.keys() == {"rollout"}
    # An interpreter takes megabytes; more than the machine has would be a wrong unit.
    assert 1e6 < manifest.peak_memory_bytes < 1e12
    assert manifest.numerics["threads"] == 1 and len(manifest.code) == 16


@pytest.mark.parametrize("options", [OPTIONS, spawned()], ids=["fork", "spawn"])
def test_a_job_has_its_own_session_environment_and_log(store: Store, options: RunOptions) -> None:
    job = pairs("environment")
    run(store, [job], options=options)
    folder = store.artifact("preferences", job.fingerprint)
    found = json.loads((folder / "environment.json").read_text())
    assert found == {
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "leader": "True",
    }
    assert "said on standard output" in store.attempts(job.fingerprint)[-1].log.read_text()


def test_a_failed_job_skips_what_is_downstream_and_nothing_else(store: Store) -> None:
    bad, good = pairs("bug"), training()
    behind = evaluation(training(upstream=bad))
    outcome = run(store, [behind, evaluation(good)])
    assert outcome.states[bad.fingerprint] is JobState.FAILED
    assert outcome.states[behind.fingerprint] is JobState.SKIPPED
    assert outcome.skipped[behind.fingerprint].startswith(f"preferences-{bad.fingerprint} failed")
    assert outcome.states[good.fingerprint] is JobState.DONE
    assert outcome.failures[bad.fingerprint].kind is FailureClass.BUG
    assert "KeyError" in store.attempts(bad.fingerprint)[-1].log.read_text()


def test_a_bug_and_a_diverged_loss_are_not_tried_again(store: Store) -> None:
    recorder = Recorder()
    run(store, [pairs("bug"), pairs("diverge")], listener=recorder)
    expected = {(FailureClass.BUG, 1, False), (FailureClass.NON_FINITE_LOSS, 1, False)}
    assert set(recorder.failures) == expected


def test_a_failed_job_is_tried_again_when_the_study_is_run_again(store: Store) -> None:
    run(store, [pairs("bug")])
    run(store, [pairs("bug")])
    assert [attempt.number for attempt in store.attempts(pairs("bug").fingerprint)] == [1, 2]


def test_a_lost_worker_is_replaced_until_the_retries_are_used_up(store: Store) -> None:
    recorder = Recorder()
    once, always = pairs("die once"), pairs("die always")
    options = replace(OPTIONS, retries=1)
    outcome = run(store, [once, always], options=options, listener=recorder)
    assert outcome.states[once.fingerprint] is JobState.DONE
    assert outcome.failures[always.fingerprint] == Failure(
        FailureClass.WORKER_LOST, "the worker was killed by signal 9 without an exit record"
    )
    assert len(store.attempts(always.fingerprint)) == 2


def test_a_job_that_gets_further_each_time_is_not_given_up(store: Store) -> None:
    # Lost five times, but each attempt saved a checkpoint of its own.
    assert run(store, [pairs("crawl")], options=replace(OPTIONS, retries=0)).complete
    assert len(store.attempts(pairs("crawl").fingerprint)) == 6


def test_out_of_memory_halves_the_micro_batch_and_says_so(store: Store) -> None:
    job = training("large", batch_size=32)
    outcome = run(store, [job])
    assert outcome.complete
    manifest = store.manifest("sft", job.fingerprint)
    assert manifest is not None
    assert manifest.numerics["micro_batch"] == 8  # 32 and 16 did not fit
    assert manifest.attempt == 3 and manifest.config["batch_size"] == 32


def test_the_next_attempt_starts_from_the_checkpoint_of_the_one_before(store: Store) -> None:
    job = pairs("checkpoint")
    assert run(store, [job]).complete
    metrics = store.artifact("preferences", job.fingerprint) / "metrics.jsonl"
    # The line after the checkpoint was written twice and must be there once.
    assert metrics.read_text() == '{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n'


def test_equal_failures_of_a_whole_stage_stop_the_study(store: Store) -> None:
    jobs = [pairs("bug", replies=replies) for replies in range(2, 10)]
    outcome = run(store, jobs)
    assert outcome.stopped is not None and "failed early and alike" in outcome.stopped
    assert outcome.count(JobState.WAITING) > 0


def test_a_stage_may_not_write_the_stores_own_file(store: Store) -> None:
    job = pairs("manifest")
    assert "manifest.json is the store's own" in run(store, [job]).failures[job.fingerprint].message


def test_nothing_starts_that_cannot_end_in_time(store: Store) -> None:
    slow, quick = pairs(seed=1), pairs(seed=2)
    asked: list[Ahead] = []

    def wanted(ahead: Ahead) -> frozenset[str]:
        asked.append(ahead)
        return frozenset({quick.fingerprint})

    options = replace(OPTIONS, until=time.time() + 1e4, wanted=wanted)
    outcome = run(store, [slow, quick], options=options)
    assert outcome.states == {slow.fingerprint: JobState.WAITING, quick.fingerprint: JobState.DONE}
    assert outcome.stopped == "nothing that is left would end in time"
    assert asked[0].seconds == pytest.approx(1e4, abs=600.0) and asked[0].slots == 2
    assert asked[-1].states[quick.fingerprint] is JobState.DONE


def test_a_spent_budget_starts_nothing_more(store: Store) -> None:
    outcome = run(store, study(), options=replace(OPTIONS, budget_seconds=0.0))
    assert outcome.stopped == "the budget is spent" and outcome.count(JobState.WAITING) == 13


def test_an_error_of_a_listener_changes_nothing(store: Store) -> None:
    class Broken(Listener):
        def job_started(self, job: Job, attempt: int) -> None:
            raise RuntimeError("display is gone")

    assert run(store, [pairs()], listener=Broken()).complete


def test_processes_that_a_job_leaves_behind_are_killed(store: Store, tmp_path: Path) -> None:
    job = pairs("helper", location=str(tmp_path / "pid"))
    run(store, [job], options=replace(OPTIONS, retries=0))
    stat = Path("/proc", (tmp_path / "pid").read_text(), "stat")
    # The signal is sent before the attempt counts as over; on a busy machine death takes a moment.
    end = time.monotonic() + 20.0
    while _state(stat) not in ("", "Z") and time.monotonic() < end:
        time.sleep(0.02)
    assert _state(stat) in ("", "Z")


def _state(stat: Path) -> str:
    try:
        return stat.read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_file_where_the_store_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")
    with pytest.raises(SurroundingsError, match="a file is where a folder is needed"):
        run(Store(tmp_path / "store"), [pairs()])


def test_a_file_where_artifacts_of_a_stage_belong_is_named_and_nothing_is_lost(
    store: Store,
) -> None:
    store.create()
    blocked = store.root / "artifacts" / "preferences"
    blocked.write_text("in the way")
    with pytest.raises(SurroundingsError, match="a file is where a folder is needed"):
        run(store, [pairs()])
    blocked.unlink()
    outcome = run(store, [pairs()])
    assert outcome.complete and len(store.attempts(pairs().fingerprint)) == 1  # no second attempt


def test_the_controller_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, toy_study; from ablate.store.layout import Store;"
        f"toy_study.run(Store({str(tmp_path / 'store')!r}), [toy_study.pairs()]);"
        "sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    )
