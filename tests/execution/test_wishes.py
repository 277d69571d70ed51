"""What a user asks while a study runs is done and answered."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_study import OPTIONS, evaluation, pairs, run, training

from ablate.execution.book import JobState
from ablate.execution.failures import FailureClass
from ablate.execution.options import Outcome, RunOptions
from ablate.execution.steering import Command, Verb
from ablate.plan.job import Job
from ablate.store.files import read_json
from ablate.store.layout import Store


class Study:
    """A study in a thread, and a gate that one of its jobs waits for."""

    def __init__(self, folder: Path, jobs: list[Job], **changes: Any) -> None:
        self.store, self.gate = Store(folder / "store"), folder / "gate"
        self.options = replace(OPTIONS, handle_signals=False, **changes)
        self.options = replace(self.options, wishes=RunOptions().wishes)
        self.outcome: Outcome | None = None
        self._jobs = jobs
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.outcome = run(self.store, self._jobs, options=self.options)

    def start(self) -> None:
        self._thread.start()

    def ask(self, verb: Verb, *jobs: Job, **arguments: Any) -> Mapping[str, Any]:
        command = Command(verb, tuple(job.fingerprint for job in jobs), arguments)
        self.options.wishes.put(command)
        answer = command.wait(60.0)
        assert answer is not None
        return answer

    def open(self) -> None:
        self.gate.touch()

    def end(self) -> Outcome:
        self._thread.join(120.0)
        assert self.outcome is not None
        return self.outcome

    def status(self) -> dict[str, Any]:
        found = read_json(self.store.study("toy") / "status.json")
        return found if isinstance(found, dict) else {}


def gated(folder: Path) -> Job:
    return pairs("wait", location=str(folder / "gate"))


def until(condition: Callable[[], bool]) -> None:
    for _ in range(6_000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")


@pytest.fixture
def started(tmp_path: Path) -> Study:
    """A study whose first job waits for the gate, one slot, another job behind it."""
    first = gated(tmp_path)
    jobs = [evaluation(training("plain", first)), pairs("other")]
    one_slot = replace(OPTIONS.local, slots=1)
    found = Study(tmp_path, jobs, local=one_slot)
    found.start()
    until((tmp_path / "gate.started").exists)
    return found


def test_a_paused_study_starts_nothing_until_it_is_resumed(started: Study) -> None:
    assert started.ask(Verb.PAUSE)["paused"] is True
    started.open()
    until(lambda: started.status().get("state") == "paused" and not started.status()["running"])
    assert started.ask(Verb.STATUS)["paused"] is True
    assert started.ask(Verb.RESUME)["paused"] is False
    assert started.end().complete


def test_a_cancelled_job_stops_and_is_not_tried_again(started: Study, tmp_path: Path) -> None:
    answer = started.ask(Verb.CANCEL, gated(tmp_path))
    assert answer["changed"] == [gated(tmp_path).fingerprint]
    outcome = started.end()
    assert outcome.failures[gated(tmp_path).fingerprint].kind is FailureClass.CANCELLED
    assert outcome.count(JobState.DONE) == 1 and outcome.count(JobState.SKIPPED) == 2


def test_a_waiting_job_can_be_cancelled_and_wanted_again(started: Study) -> None:
    other = pairs("other")
    assert started.ask(Verb.CANCEL, other)["changed"] == [other.fingerprint]
    assert started.ask(Verb.RETRY, kind="out_of_memory")["changed"] == []
    assert started.ask(Verb.RETRY, kind="cancelled")["changed"] == [other.fingerprint]
    started.open()
    assert started.end().complete


def test_stop_ends_after_a_checkpoint_and_nothing_is_lost(started: Study) -> None:
    assert started.ask(Verb.STOP)["ok"]
    outcome = started.end()
    assert outcome.stopped == "asked to stop" and not outcome.failures
    started.open()
    assert run(started.store, started._jobs).complete


def test_a_drained_study_lets_end_what_runs(started: Study) -> None:
    assert started.ask(Verb.STOP, drain=True)["ok"]
    started.open()
    outcome = started.end()
    assert outcome.count(JobState.DONE) == 1 and outcome.stopped == "asked to stop"


def test_more_slots_start_more_jobs_at_once(started: Study) -> None:
    assert started.ask(Verb.SET, slots=2)["slots"] == 2
    until(lambda: len(started.status().get("running", [])) == 1)
    other = started.store.artifact("preferences", pairs("other").fingerprint)
    until(other.exists)  # While the first job still waits for its gate.
    started.open()
    assert started.end().complete


def test_a_deadline_can_be_set_while_the_study_runs(started: Study) -> None:
    assert started.ask(Verb.SET, until=time.time() - 1.0)["ok"]
    assert started.end().stopped == "the time is up"


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        (Verb.SET, {"slots": 0}, "slots: 0 is no number of jobs"),
        (Verb.SET, {"slots": True}, "slots: True is no number"),
        (Verb.SET, {"speed": 2}, "'speed' is not one of"),
        (Verb.SET, {"until": "late"}, "until: 'late' is no number"),
        (Verb.PRIORITY, {"level": "high"}, "level: 'high' is no whole number"),
    ],
)
def test_a_wrong_wish_is_answered_and_changes_nothing(
    started: Study, verb: Verb, arguments: dict[str, Any], message: str
) -> None:
    answer = started.ask(verb, **arguments)
    assert answer["ok"] is False and message in answer["message"]
    started.open()
    assert started.end().complete


def test_a_wish_about_an_unknown_job_is_refused(started: Study) -> None:
    answer = started.ask(Verb.CANCEL, pairs("never planned"))
    assert answer["ok"] is False and "no job of this study" in answer["message"]
    started.open()
    assert started.end().complete


def test_results_make_a_study_grow(tmp_path: Path) -> None:
    """Two data sets are planned; once both are there, a training of each is asked for."""
    roots = [pairs("first"), pairs("second")]

    def grow(states: Mapping[str, JobState]) -> list[Job]:
        done = [root for root in roots if states[root.fingerprint] is JobState.DONE]
        return [training("plain", root) for root in done] if len(done) == 2 else list(roots)

    store = Store(tmp_path / "store")
    outcome = run(store, roots, options=replace(OPTIONS, grow=grow))
    assert outcome.complete and outcome.count(JobState.DONE) == 4
