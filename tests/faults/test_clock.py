"""The wall clock is set by a day while a study runs: nothing is lost, killed or late for it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "execution"))

from clock_study import jobs
from toy_study import contents, run

from ablate.execution.status import study_status
from ablate.store.attempts import Attempt
from ablate.store.doctor import examine
from ablate.store.layout import Store

HERE = Path(__file__).parent
DAY = 86_400.0


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds; far longer than it can take."""
    for _ in range(6_000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")


class Study:
    """A study in processes of its own, whose clock can be set."""

    def __init__(self, folder: Path) -> None:
        self.store, self.gate = Store(folder / "store"), folder / "gate"
        self.clock = folder / "clock"
        self.running: subprocess.Popen[str] | None = None

    def start(self, *until: float) -> subprocess.Popen[str]:
        """Start the study and wait until its job waits."""
        paths = os.pathsep.join([str(HERE / "jumping"), os.environ.get("PYTHONPATH", "")])
        script = [sys.executable, str(HERE / "clock_study.py"), str(self.store.root)]
        self.running = subprocess.Popen(
            [*script, str(self.gate), *map(str, until)],
            env={**os.environ, "PYTHONPATH": paths, "ABLATE_TEST_CLOCK": str(self.clock)},
            stdout=subprocess.PIPE,
            text=True,
        )
        wait_for(lambda: self.attempt is not None and bool(self.beats()))
        return self.running

    @property
    def attempt(self) -> Attempt | None:
        """The last attempt of the job that waits."""
        found = self.store.attempts(jobs(str(self.gate))[0].fingerprint)
        return found[-1] if found else None

    def beats(self) -> int:
        """How often the job that waits has beaten."""
        return int(self.attempt.heartbeat().get("counter", 0)) if self.attempt else 0

    def set(self, seconds: float) -> None:
        """Set the clock, and wait until the controller has seen it and the job has gone on."""
        beats = self.beats()
        partial = self.clock.with_suffix(".partial")
        partial.write_text(str(seconds))
        os.replace(partial, self.clock)

        def seen() -> bool:
            status = study_status(self.store, "toy")
            return abs(status.updated - time.time() - seconds) < DAY / 2

        wait_for(lambda: self.running.poll() is not None or seen())  # type: ignore[union-attr]
        wait_for(lambda: self.running.poll() is not None or self.beats() > beats + 3)  # type: ignore[union-attr]


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Study]:
    found = Study(tmp_path)
    yield found
    if found.running is not None:
        found.running.kill()
        found.running.communicate()


def expected(toy: Study, folder: Path) -> dict[str, str]:
    """Return what the study leaves when no clock jumps."""
    store = Store(folder / "calm")
    assert run(store, jobs(str(toy.gate))).complete
    return contents(store)


@pytest.mark.parametrize("jumps", [(DAY, 0.0), (-DAY, 0.0)], ids=["forward", "backward"])
def test_a_clock_set_by_a_day_and_back_kills_nothing_and_no_duration_is_negative(
    toy: Study, tmp_path: Path, jumps: tuple[float, ...]
) -> None:
    process = toy.start()
    for seconds in jumps:
        toy.set(seconds)
        assert process.poll() is None
        rows = {row.fingerprint: row for row in study_status(toy.store, "toy").running}
        assert jobs(str(toy.gate))[0].fingerprint in rows
        assert all(0.0 <= row.seconds < DAY / 2 and not row.hung for row in rows.values())
    toy.set(jumps[0])
    toy.gate.touch()
    assert process.wait(120) == 0
    assert contents(toy.store) == expected(toy, tmp_path)
    for job in jobs(str(toy.gate)):
        assert [attempt.number for attempt in toy.store.attempts(job.fingerprint)] == [1]
        manifest = toy.store.manifest(job.stage, job.fingerprint)
        assert manifest is not None and 0.0 <= manifest.wall_seconds < DAY / 2
    waited = toy.store.manifest("preferences", jobs(str(toy.gate))[0].fingerprint)
    assert waited is not None and abs(waited.ended - waited.started - jumps[0]) < DAY / 2
    took = json.loads((toy.store.study("toy") / "status.json").read_text())["took"]
    assert all(0.0 <= seconds < DAY / 2 for seconds in took.values())
    # With the clock put right, records of another day are noted, and hinder nothing.
    assert {one.kind for one in examine(toy.store)} <= {"clock"}
    assert run(toy.store, jobs(str(toy.gate))).complete


def test_a_deadline_is_a_time_of_the_wall_clock_and_a_clock_set_past_it_stops_after_checkpoints(
    toy: Study, tmp_path: Path
) -> None:
    process = toy.start(time.time() + 3600)
    toy.set(DAY)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 3 and said == "the time is up\n"
    waiting = jobs(str(toy.gate))[0]
    judged = toy.store.attempts(waiting.fingerprint)[-1].verdict()
    assert judged is not None and judged["kind"] == "preempted" and not judged["final"]
    toy.clock.unlink()
    toy.gate.touch()
    assert run(toy.store, jobs(str(toy.gate))).complete
    assert contents(toy.store) == expected(toy, tmp_path)


def test_a_clock_set_back_before_a_deadline_stops_nothing(toy: Study) -> None:
    process = toy.start(time.time() + 3600)
    toy.set(-DAY)
    toy.gate.touch()
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and said == "complete\n"
