"""Every class of failure with real processes: what is tried next, and what is written down."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_study import LOCAL, OPTIONS, pairs, run, training

from ablate.execution.book import JobState
from ablate.execution.engines.local import LocalEngine
from ablate.execution.engines.protocol import Resources
from ablate.execution.failures import Failure, FailureClass
from ablate.execution.listener import Listener
from ablate.execution.options import Outcome, RunOptions
from ablate.plan.job import Job
from ablate.store.layout import Store
from ablate.store.manifest import Manifest

GREEDY, LARGE = pairs("greedy"), training("large", batch_size=32)
KILLED, STALLED, FROZEN = pairs("die once"), pairs("stall once"), pairs("freeze once")
LONG, ENDLESS = pairs("long"), pairs("endless")
SECONDS = {LONG: 0.6, ENDLESS: 0.6}
"""Time limits."""


class Beside(Listener):
    """Notes which jobs ran when the greedy one was started."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.running: set[Job] = set()
        self.found: list[set[Job]] = []

    def job_started(self, job: Job, attempt: int) -> None:
        if job == GREEDY:
            self.found.append(set(self.running))
        self.running.add(job)

    def job_failed(self, job: Job, failure: Failure, *, attempt: int, retried: bool) -> None:
        self.running.discard(job)

    def job_committed(self, job: Job, manifest: Manifest) -> None:
        self.running.discard(job)


def resources(job: Job) -> Resources:
    return Resources(seconds=SECONDS.get(job))


SHORT = replace(
    OPTIONS,
    resources=resources,
    hung_seconds=3.0,
    idle_seconds=4.0,
    stop_seconds=0.3,
    fuse=99,
    beat_seconds=0.05,
)
JOBS = [STALLED, ENDLESS, GREEDY, KILLED, FROZEN, LONG, LARGE]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Outcome, Beside]]:
    """Run one study in which everything goes wrong, on an engine that is warm."""
    store, beside = Store(tmp_path_factory.mktemp("night") / "store"), Beside()
    engine = LocalEngine(LOCAL)
    try:
        run(store, [pairs()], options=replace(OPTIONS, engine=engine))
        outcome = run(store, JOBS, options=replace(SHORT, engine=engine), listener=beside)
    finally:
        engine.close()
    yield store, outcome, beside


def verdicts(store: Store, job: Job) -> list[dict[str, Any]]:
    return [attempt.verdict() or {} for attempt in store.attempts(job.fingerprint)]


def classes(store: Store, job: Job) -> list[str]:
    return [verdict["kind"] for verdict in verdicts(store, job) if verdict]


Night = tuple[Store, Outcome, Beside]


def test_all_but_the_hopeless_one_end_well(night: Night) -> None:
    _, outcome, _ = night
    assert [job for job in JOBS if outcome.states[job.fingerprint] is not JobState.DONE] == [
        ENDLESS
    ]


def test_out_of_memory_without_a_micro_batch_is_tried_again_alone(night: Night) -> None:
    store, _, beside = night
    assert classes(store, GREEDY) == ["out_of_memory"]
    assert verdicts(store, GREEDY)[0]["message"] == "MemoryError"
    assert verdicts(store, GREEDY)[0]["next"] == "tried again with nothing else beside it"
    assert len(beside.found) == 2 and beside.found[1] == set()
    manifest = store.manifest("preferences", GREEDY.fingerprint)
    assert manifest is not None and manifest.numerics["alone"] is True


def test_out_of_memory_with_one_halves_it_and_says_so(night: Night) -> None:
    store, _, _ = night
    manifest = store.manifest("sft", LARGE.fingerprint)
    assert manifest is not None and manifest.numerics["micro_batch"] == 8
    assert manifest.numerics["micro_batch_asked"] == 32
    tried = [verdict["next"] for verdict in verdicts(store, LARGE) if verdict]
    assert tried == [
        f"tried again with micro-batch {size}, not sharing a device" for size in (16, 8)
    ]
    asked = [attempt.request() or {} for attempt in store.attempts(LARGE.fingerprint)]
    assert [request["config"]["micro_batch_size"] for request in asked] == [None, 16, 8]


def test_a_killed_worker_is_replaced(night: Night) -> None:
    store, _, _ = night
    assert classes(store, KILLED) == ["worker_lost"]
    assert verdicts(store, KILLED)[0]["next"] == "tried again (1 of 3)"


def test_a_job_that_beats_without_moving_is_killed_and_tried_again(night: Night) -> None:
    store, _, _ = night
    assert classes(store, STALLED) == ["hung"]
    assert verdicts(store, STALLED)[0]["message"].startswith("no progress for")


def test_a_process_that_stops_beating_is_killed_and_tried_again(night: Night) -> None:
    store, _, _ = night
    assert classes(store, FROZEN) == ["hung"]
    assert verdicts(store, FROZEN)[0]["message"].startswith("no beat for")


def test_a_time_limit_is_met_as_often_as_there_is_a_new_checkpoint(night: Night) -> None:
    store, _, _ = night
    kinds = classes(store, LONG)
    # 25 steps of 0.1 s at least in attempts of 0.6 s and two looks of a quarter each.
    assert len(kinds) >= 1 and set(kinds) == {"timeout"}
    assert verdicts(store, LONG)[0]["next"] == "again from its last checkpoint"


def test_a_time_limit_without_a_checkpoint_ends_the_job_and_says_what_helps(night: Night) -> None:
    store, outcome, _ = night
    failure = outcome.failures[ENDLESS.fingerprint]
    assert failure.kind is FailureClass.TIMEOUT
    assert failure.message.startswith("reached its time limit of") and "hours" in failure.message
    assert verdicts(store, ENDLESS)[-1]["final"] is True


def test_failures_of_other_classes_stay_as_they_are_when_asked(night: Night) -> None:
    store, _, _ = night
    before = len(store.attempts(ENDLESS.fingerprint))
    asked: list[FailureClass] = []

    def stays(job: Job, failure: Failure) -> bool:
        asked.append(failure.kind)
        return True

    patient = replace(SHORT, hung_seconds=600.0, idle_seconds=600.0)
    outcome = run(store, JOBS, options=replace(patient, keep_failed=stays))
    assert outcome.failures[ENDLESS.fingerprint].kind is FailureClass.TIMEOUT
    assert asked == [FailureClass.TIMEOUT]
    assert len(store.attempts(ENDLESS.fingerprint)) == before
    again = run(store, [ENDLESS], options=replace(patient, keep_failed=lambda job, failure: False))
    assert again.failures[ENDLESS.fingerprint].kind is FailureClass.TIMEOUT
    assert len(store.attempts(ENDLESS.fingerprint)) == before + 1
    # The record of the attempt before stays readable although its output is gone.
    record = store.attempts(ENDLESS.fingerprint)[before - 1]
    assert not record.work.exists() and json.loads(record.metrics.read_text())["step"] == 1


def test_the_budget_of_further_attempts_is_for_all_jobs_together(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    jobs = [pairs("die always", replies=replies) for replies in (2, 3)]
    options: RunOptions = replace(OPTIONS, budget_retries=1, fuse=99)
    outcome = run(store, jobs, options=options)
    assert outcome.count(JobState.FAILED) == 2
    attempts = [len(store.attempts(job.fingerprint)) for job in jobs]
    assert sum(attempts) == 2 + 1
    said = {(verdicts(store, job)[-1])["next"] for job in jobs}
    assert said == {"given up: the 1 further attempts of this run are used up"}
