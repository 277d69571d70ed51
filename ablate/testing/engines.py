"""The contract suite of engines: real attempts of toy stages, for our engines and others'.

Subclass `EngineContract` in a test file and give it a fixture ``ground``::

    class TestMyEngine(EngineContract):
        @pytest.fixture
        def ground(self, tmp_path):
            with EngineGround(Store(tmp_path / "store"), open_engine) as ground:
                yield ground

where ``open_engine(slots, devices)`` returns an engine that runs so many jobs at a time on cores,
and shows jobs so many accelerators (any names will do; none where ``devices`` is 0).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ablate.execution.engines.protocol import (
    Engine,
    Observation,
    Resources,
    State,
    Submission,
)
from ablate.plan.job import Job
from ablate.spec.stages import PreferencesConfig
from ablate.store.attempts import Attempt, new_attempt
from ablate.store.files import sha256
from ablate.store.layout import Store
from ablate.store.manifest import MANIFEST
from ablate.testing.stages import ENTRY_POINTS

CORES = Resources()
"""What a job of cores asks for."""
DEVICE = Resources(devices=1)
"""What a job of one accelerator asks for."""


def pairs(dataset: str = "plain", **fields: Any) -> Job:
    """Return a job that does what the data set's name says; see `ablate.testing.stages`."""
    return Job("preferences", PreferencesConfig(dataset=dataset, **fields))


@dataclass
class EngineGround:
    """Where an engine is tried; leaving the block ends every attempt and closes the engines."""

    store: Store
    """Its jobs must see this folder."""
    open_engine: Callable[[int, int], Engine]
    """Called with slots on cores and accelerators."""
    patience_seconds: float = 60.0
    """For anything to happen that should."""
    beat_seconds: float = 0.05
    """Of the workers."""
    engines: list[Engine] = field(default_factory=list)
    """Opened so far."""
    handles: list[str] = field(default_factory=list)
    """Submitted so far."""

    def __enter__(self) -> Self:
        """Make the store."""
        self.store.create()
        return self

    def __exit__(self, *_: object) -> None:
        """End what still runs, through the last engine, and close all."""
        for engine in self.engines[-1:]:
            for handle in self.handles:
                engine.cancel(handle, gently=False)
            with suppress(AssertionError):
                for handle in self.handles:
                    self.ended(engine, handle)
        for engine in self.engines:
            engine.close()

    def open(self, *, slots: int = 2, devices: int = 0) -> Engine:
        """Open a further engine."""
        engine = self.open_engine(slots, devices)
        self.engines.append(engine)
        return engine

    def prepare(
        self,
        job: Job,
        *,
        number: int = 1,
        resources: Resources = CORES,
        priority: int = 0,
    ) -> Submission:
        """Write the request of an attempt as a controller does."""
        attempt = new_attempt(self.store.job(job.fingerprint), number, carry=None)
        attempt.write_request(
            {
                "schema": 1,
                "attempt": number,
                "fingerprint": job.fingerprint,
                "stage": job.stage,
                "config_class": type(job.config).__name__,
                "config": job.config.model_dump(mode="json"),
                "inputs": {},
                "entry": ENTRY_POINTS[job.stage],
                "threads": 1,
                "beat_seconds": self.beat_seconds,
                "stale_seconds": 60.0,
                "study": "contract",
            }
        )
        return Submission(attempt.name, attempt.folder, resources, priority)

    def submit(self, engine: Engine, submission: Submission) -> str:
        """Submit, and remember the handle for the end."""
        handle = engine.submit(submission)
        self.handles.append(handle)
        return handle

    def ended(self, engine: Engine, handle: str) -> Observation:
        """Wait until the engine calls an attempt gone; return its word."""
        deadline = time.monotonic() + self.patience_seconds
        while time.monotonic() < deadline:
            word = engine.poll([handle], timeout_seconds=0.1)[handle]
            if word.state is State.GONE:
                return word
        raise AssertionError(f"{handle} did not end within {self.patience_seconds:.0f} s")

    def waiting(self, engine: Engine) -> tuple[str, Submission, Path]:
        """Start a job that waits; return its handle and its gate, whose file lets it end."""
        number = len(self.handles)
        gate = self.store.root / f"gate-{number}"
        submission = self.prepare(pairs("wait", location=str(gate), seed=number))
        handle = self.submit(engine, submission)
        self.await_start(engine, handle, gate)
        return handle, submission, gate

    def await_start(self, engine: Engine, handle: str, gate: Path) -> None:
        """Wait until a waiting job runs, and the engine says so."""
        deadline = time.monotonic() + self.patience_seconds
        # Asked in any case: an engine may submit what it was given only when it is polled.
        while not _runs(engine, handle) or starts(gate) == 0:
            if time.monotonic() > deadline:
                raise AssertionError(f"{handle} did not start: {self.log(handle)}")
            time.sleep(0.01)

    def log(self, name: str) -> str:
        """Return what an attempt has printed, where the handle is its name."""
        try:
            return Attempt(self.store.root / "attempts" / name).log.read_text()
        except (OSError, ValueError):
            return "it printed nothing"


def starts(gate: Path) -> int:
    """Return how often the job behind ``gate`` was started."""
    try:
        return len(Path(f"{gate}.started").read_text().splitlines())
    except FileNotFoundError:
        return 0


def beats(attempt: Attempt) -> int:
    """Return the counter of the attempt's heartbeat."""
    return int(attempt.heartbeat().get("counter", 0))


def is_silent(attempt: Attempt, *, seconds: float = 0.5) -> bool:
    """Tell whether the worker has stopped beating."""
    before = beats(attempt)
    time.sleep(seconds)
    return beats(attempt) == before


def contents(store: Store) -> dict[str, str]:
    """Return the hash of every artifact's file but the manifests, which tell times and places."""
    root = store.root / "artifacts"
    return {
        path.relative_to(root).as_posix(): sha256(path)
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


def shown(submission: Submission) -> dict[str, str | None]:
    """Return the variables that a job of ``environment`` has seen."""
    path = Attempt(submission.folder).work / "environment.json"
    found: dict[str, str | None] = json.loads(path.read_text())
    return found


def _runs(engine: Engine, handle: str) -> bool:
    word = engine.poll([handle], timeout_seconds=0.05)[handle]
    return word.state is State.RUNNING


class EngineContract:
    """What a controller relies on; see the module for how to use it."""

    def test_an_attempt_runs_to_its_end_which_is_certain(self, ground: EngineGround) -> None:
        """The job sees what makes results repeatable, and its words are in its log."""
        engine = ground.open()
        submission = ground.prepare(pairs("environment"))
        word = ground.ended(engine, ground.submit(engine, submission))
        assert (word.code, word.certain) == (0, True)
        attempt = Attempt(submission.folder)
        assert (attempt.exit() or {})["status"] == "ok"
        assert "said on standard output" in attempt.log.read_text()
        found = shown(submission)
        assert found["OMP_NUM_THREADS"] == found["MKL_NUM_THREADS"] == "1"
        assert found["PYTHONHASHSEED"] == "0" and found["HF_HUB_OFFLINE"] == "1"
        assert found["CUDA_VISIBLE_DEVICES"] == "", "a job of cores must see no accelerator"

    def test_a_job_that_fails_ends_with_status_1_and_its_own_words(
        self, ground: EngineGround
    ) -> None:
        """The record, not the engine, says why."""
        engine = ground.open()
        submission = ground.prepare(pairs("diverge"))
        word = ground.ended(engine, ground.submit(engine, submission))
        assert (word.code, word.certain) == (1, True)
        record = Attempt(submission.folder).exit() or {}
        assert record["failure"]["kind"] == "non_finite_loss"

    def test_a_killed_worker_is_seen_to_be_gone(self, ground: EngineGround) -> None:
        """It leaves no record; where the engine knows a status, it is that of SIGKILL.

        Its next attempt is due then, so there is nothing to reattach.
        """
        engine = ground.open()
        submission = ground.prepare(pairs("die always"))
        word = ground.ended(engine, ground.submit(engine, submission))
        assert word.code in (-9, None) and Attempt(submission.folder).exit() is None
        assert engine.reattach(submission) is None

    def test_a_gentle_cancel_stops_after_the_next_checkpoint(self, ground: EngineGround) -> None:
        """The worker itself says that it was asked to stop."""
        engine = ground.open()
        handle, submission, _ = ground.waiting(engine)
        engine.cancel(handle, gently=True)
        assert ground.ended(engine, handle).code in (1, None)
        record = Attempt(submission.folder).exit() or {}
        assert record["failure"]["kind"] == "preempted"

    def test_a_cancel_at_once_leaves_no_record_and_no_process(self, ground: EngineGround) -> None:
        """Once the engine calls an attempt gone, it writes no more."""
        engine = ground.open()
        handle, submission, _ = ground.waiting(engine)
        engine.cancel(handle, gently=False)
        ground.ended(engine, handle)
        attempt = Attempt(submission.folder)
        assert attempt.exit() is None and is_silent(attempt)
        engine.cancel(handle, gently=False)

    def test_capacity_falls_with_each_attempt_and_rises_when_one_ends(
        self, ground: EngineGround
    ) -> None:
        """Two slots, two jobs; then a smaller number, which what runs outlives."""
        engine = ground.open(slots=2)
        assert engine.capacity(CORES) == 2
        first, _, gate = ground.waiting(engine)
        assert engine.capacity(CORES) == 1
        second, _, other = ground.waiting(engine)
        assert engine.capacity(CORES) == 0
        gate.touch()
        ground.ended(engine, first)
        assert engine.capacity(CORES) == 1
        engine.resize(1)
        assert engine.capacity(CORES) == 0
        assert _runs(engine, second)
        engine.resize(3)
        assert engine.capacity(CORES) == 2
        other.touch()
        assert ground.ended(engine, second).code == 0

    def test_an_unknown_handle_is_gone(self, ground: EngineGround) -> None:
        """A word about it exists in any case."""
        engine = ground.open()
        assert engine.poll(["0123456789ab/1"], timeout_seconds=0.0)["0123456789ab/1"].state is (
            State.GONE
        )
        engine.cancel("0123456789ab/1", gently=False)

    def test_a_handle_that_is_gone_keeps_its_word(self, ground: EngineGround) -> None:
        """However often it is asked, and beside others."""
        engine = ground.open()
        handle = ground.submit(engine, ground.prepare(pairs("diverge")))
        word = ground.ended(engine, handle)
        other = ground.submit(engine, ground.prepare(pairs("diverge", seed=1)))
        assert engine.poll([handle, other], timeout_seconds=0.0)[handle] == word
        ground.ended(engine, other)
        assert engine.poll([handle], timeout_seconds=0.0)[handle] == word

    def test_attempts_live_on_without_the_controller_if_the_engine_says_so(
        self, ground: EngineGround
    ) -> None:
        """The next one takes them over by their names; others end with the engine."""
        former = ground.open()
        handle, submission, gate = ground.waiting(former)
        attempt = Attempt(submission.folder)
        former.close()
        engine = ground.open()
        found = engine.reattach(submission)
        if not engine.survives:
            ground.handles.clear()
            assert found is None and is_silent(attempt)
            return
        assert found == handle and not is_silent(attempt)
        gate.touch()
        assert ground.ended(engine, found).code == 0
        assert starts(gate) == 1 and (attempt.exit() or {})["status"] == "ok"

    def test_a_crash_between_submit_and_record_starts_nothing_twice(
        self, ground: EngineGround
    ) -> None:
        """A name that is with the engine already is found, not started again."""
        former = ground.open()
        if not former.survives:
            return
        handle, submission, gate = ground.waiting(former)
        former.close()
        engine = ground.open()
        assert engine.submit(submission) == handle
        gate.touch()
        assert ground.ended(engine, handle).code == 0
        assert starts(gate) == 1

    def test_an_attempt_that_was_never_submitted_cannot_be_reattached(
        self, ground: EngineGround
    ) -> None:
        """A new attempt is due."""
        engine = ground.open()
        assert engine.reattach(ground.prepare(pairs())) is None

    def test_a_superseded_worker_ends_by_itself(self, ground: EngineGround) -> None:
        """The attempt's number fences it off, wherever it runs; it leaves no record."""
        engine = ground.open()
        handle, submission, gate = ground.waiting(engine)
        job = pairs("wait", location=str(gate))
        ground.prepare(job, number=2)
        assert ground.ended(engine, handle).code in (75, None)
        assert Attempt(submission.folder).exit() is None

    def test_a_priority_is_accepted(self, ground: EngineGround) -> None:
        """An engine without a queue of its own passes it over."""
        engine = ground.open()
        handles = [
            ground.submit(engine, ground.prepare(pairs(seed=seed), priority=level))
            for seed, level in enumerate((7, -7))
        ]
        assert [ground.ended(engine, handle).code for handle in handles] == [0, 0]

    def test_each_accelerator_is_shown_to_one_attempt_at_a_time(self, ground: EngineGround) -> None:
        """Two jobs see one each, by the names their nodes know."""
        engine = ground.open(slots=2, devices=2)
        assert engine.capacity(DEVICE) == 2
        submissions = [
            ground.prepare(pairs("environment", seed=seed), resources=DEVICE) for seed in range(2)
        ]
        for handle in [ground.submit(engine, submission) for submission in submissions]:
            assert ground.ended(engine, handle).code == 0
        visible = [shown(submission)["CUDA_VISIBLE_DEVICES"] for submission in submissions]
        assert all(name and "," not in name for name in visible)

    def test_more_attempts_than_slots_all_run_in_turn(self, ground: EngineGround) -> None:
        """Submitted as capacity allows; afterwards all of it is free again."""
        engine = ground.open(slots=2)
        waiting = [ground.prepare(pairs(seed=seed)) for seed in range(4)]
        running: list[str] = []
        ended: list[int | None] = []
        deadline = time.monotonic() + ground.patience_seconds
        while len(ended) < 4 and time.monotonic() < deadline:
            while waiting and engine.capacity(CORES) > 0:
                running.append(ground.submit(engine, waiting.pop()))
            words = engine.poll(running, timeout_seconds=0.1)
            gone = [handle for handle in running if words[handle].state is State.GONE]
            ended += [words[handle].code for handle in gone]
            running = [handle for handle in running if handle not in gone]
        assert ended == [0, 0, 0, 0] and engine.capacity(CORES) == 2
