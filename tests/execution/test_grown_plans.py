"""Jobs that a plan grows by, beside deadlines, priorities and an engine's queue."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from toy_study import LOCAL, OPTIONS, pairs, run, training

from ablate.execution.book import JobState
from ablate.execution.engines.local import LocalEngine
from ablate.execution.engines.protocol import Observation, Resources, State, Submission
from ablate.execution.listener import Listener
from ablate.execution.options import Ahead
from ablate.plan.job import Job
from ablate.store.layout import Store

ONE_SLOT = replace(OPTIONS, local=replace(LOCAL, slots=1))


class Started(Listener):
    """Remembers which jobs were started, in order."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def job_started(self, job: Job, attempt: int) -> None:
        self.names.append(job.fingerprint)


class Queueing(LocalEngine):
    """Says of what it was given first that it waits, for two seconds; keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(replace(LOCAL, slots=1))
        self.asked: list[Submission] = []

    def submit(self, submission: Submission) -> str:
        self.asked.append(submission)
        return super().submit(submission)

    def poll(self, handles: Sequence[str], *, timeout_seconds: float) -> Mapping[str, Observation]:
        if len(self.asked) == 1 and self.asked[0].name in handles:
            time.sleep(2.2)
            self.asked.append(self.asked[0])
            return {handle: Observation(State.PENDING) for handle in handles}
        return super().poll(handles, timeout_seconds=timeout_seconds)


def test_a_choice_that_does_not_know_a_grown_job_yet_stops_nothing(tmp_path: Path) -> None:
    """Choosing takes 0.1 s, so that it is done every 5 s at most; growth comes in between."""
    root = pairs("first")
    later = training("plain", root)

    def grow(states: Mapping[str, JobState]) -> list[Job]:
        return [later] if states[root.fingerprint] is JobState.DONE else [root]

    def wanted(ahead: Ahead) -> set[str]:
        time.sleep(0.1)
        return set(ahead.states)

    outcome = run(Store(tmp_path), [root], options=replace(OPTIONS, grow=grow, wanted=wanted))
    assert outcome.stopped is None and outcome.complete


def test_a_grown_job_has_the_priority_of_its_cell(tmp_path: Path) -> None:
    root, started = pairs("first"), Started()
    arms = [training("plain", root), training("other", root)]
    levels: dict[str, int] = {}

    def grow(states: Mapping[str, JobState]) -> list[Job]:
        if states[root.fingerprint] is not JobState.DONE:
            return [root]
        levels[arms[1].fingerprint] = 1
        return arms

    options = replace(ONE_SLOT, grow=grow, priorities=levels)
    assert run(Store(tmp_path), [root], options=options, listener=started).complete
    assert started.names == [job.fingerprint for job in (root, arms[1], arms[0])]


def test_a_queue_spends_no_budget_and_an_engine_hears_of_priorities(tmp_path: Path) -> None:
    """The first job waits 2.2 s in a queue; only time on its device counts towards 2 s."""
    jobs = [pairs("first"), pairs("second")]
    engine = Queueing()
    options = replace(
        OPTIONS,
        engine=engine,
        budget_seconds=2.0,
        resources=lambda job: Resources(devices=1),
        priorities={jobs[1].fingerprint: -3},
    )
    try:
        outcome = run(Store(tmp_path), jobs, options=options)
    finally:
        engine.close()
    assert outcome.stopped is None and outcome.complete
    assert {one.name.split("/")[0]: one.priority for one in engine.asked} == {
        jobs[0].fingerprint: 0,
        jobs[1].fingerprint: -3,
    }


def test_what_is_recovered_last_makes_a_plan_grow_too(tmp_path: Path) -> None:
    """A controller died between the exit record of its only job and the commit: as if that were
    undone by hand, the artifact is the attempt's output again."""
    root, store = pairs("first"), Store(tmp_path)
    assert run(store, [root]).complete
    (attempt,) = store.attempts(root.fingerprint)
    artifact = store.artifact(root.stage, root.fingerprint)
    (artifact / "manifest.json").unlink()
    shutil.rmtree(attempt.work, ignore_errors=True)
    artifact.rename(attempt.work)
    later = training("plain", root)

    def grow(states: Mapping[str, JobState]) -> list[Job]:
        done = states[root.fingerprint] in (JobState.DONE, JobState.CACHED)
        return [root, later] if done else [root]

    outcome = run(store, [root], options=replace(OPTIONS, grow=grow))
    assert len(store.attempts(root.fingerprint)) == 1
    assert outcome.count(JobState.DONE) == 2
