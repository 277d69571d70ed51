"""SIGKILL at random moments: the same bits, no orphans, one controller per study."""

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from toy_study import contents, run, study

from ablate.store.layout import Store

SCRIPT = Path(__file__).with_name("toy_study.py")
PROC = Path("/proc")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds; far longer than it can take."""
    for _ in range(6_000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("waited in vain")


def children(pid: int) -> list[int]:
    """Return the living children of a process."""
    try:
        return [int(word) for word in (PROC / f"{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def marked(mark: str) -> list[int]:
    """Return the processes, zombies left out, that were started with ``mark``."""
    found = []
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                if mark.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                pass
    return found


class Controllers:
    """Starts controllers and finds all their processes again."""

    def __init__(self, store: Path) -> None:
        self.store, self.mark = store, f"ABLATE_TEST={uuid.uuid4().hex}"
        self.errors = store.with_name("errors.txt")

    def start(self, name: str = "toy") -> subprocess.Popen[bytes]:
        key, value = self.mark.split("=")
        command = [sys.executable, str(SCRIPT), str(self.store), name]
        with self.errors.open("wb") as errors:
            environment = {**os.environ, key: value}
            return subprocess.Popen(command, env=environment, stderr=errors, start_new_session=True)

    def processes(self) -> list[int]:
        return marked(self.mark)


@pytest.fixture
def controllers(tmp_path: Path) -> Iterator[Controllers]:
    started = Controllers(tmp_path / "store")
    yield started
    for pid in started.processes():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    store = Store(tmp_path_factory.mktemp("undisturbed"))
    assert run(store, study()).complete
    return contents(store)


def victim(controller: int, kind: str) -> int | None:
    servers = children(controller)
    if kind == "controller":
        return controller
    if kind == "server":
        return servers[0] if servers else None
    workers = children(servers[0]) if servers else []
    return random.choice(workers) if workers else None


@pytest.mark.parametrize("seed", range(3))
def test_kills_of_any_process_at_any_moment_leave_the_same_bits_and_no_orphan(
    controllers: Controllers, undisturbed: dict[str, str], seed: int
) -> None:
    random.seed(seed)
    kills = 0
    for _ in range(50):
        process = controllers.start()
        while process.poll() is None and kills < 8:
            time.sleep(random.uniform(0.05, 0.5))
            pid = victim(process.pid, random.choice(["controller", "server", "worker", "worker"]))
            if pid is not None and process.poll() is None:
                kills += 1
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    kills -= 1
        process.wait()
        if process.returncode == 0:
            break
    assert process.returncode == 0
    wait_for(lambda: not controllers.processes())
    assert contents(Store(controllers.store)) == undisturbed


@pytest.mark.parametrize("kind", ["controller", "server"])
def test_workers_die_with_their_server_and_with_their_controller(
    controllers: Controllers, kind: str
) -> None:
    process = controllers.start()
    wait_for(lambda: victim(process.pid, "worker") is not None)
    workers = children(children(process.pid)[0])
    pid = victim(process.pid, kind)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not set(workers) & set(controllers.processes()))
    if kind == "server":
        # The controller starts a new one and goes on; no job is blamed.
        assert process.wait() == 0
    else:
        process.wait()
        wait_for(lambda: not controllers.processes())


def test_a_second_controller_is_refused_and_told_who_holds_the_study(
    controllers: Controllers,
) -> None:
    first = controllers.start()
    wait_for(lambda: (controllers.store / "studies/toy/plan.json").exists())
    second = controllers.start()
    assert second.wait() == 2
    assert f"process {first.pid} on " in controllers.errors.read_text()
    assert first.wait() == 0


def test_the_lease_of_a_killed_controller_is_free_at_once(controllers: Controllers) -> None:
    first = controllers.start()
    wait_for(lambda: (controllers.store / "studies/toy/plan.json").exists())
    first.kill()  # and not reaped yet
    second = controllers.start()
    assert second.wait() == 0
    first.wait()


def test_two_studies_on_one_store_run_each_shared_job_once(
    controllers: Controllers, undisturbed: dict[str, str]
) -> None:
    both = [controllers.start("one"), controllers.start("two")]
    for process in both:
        process.wait()
        assert process.returncode == 0
    store = Store(controllers.store)
    assert contents(store) == undisturbed
    fingerprints = [path.name for path in (store.root / "attempts").iterdir()]
    assert [len(store.attempts(name)) for name in fingerprints] == [1] * 13


def test_a_study_takes_over_the_jobs_of_another_whose_controller_was_killed(
    controllers: Controllers, undisturbed: dict[str, str]
) -> None:
    first = controllers.start("one")
    wait_for(lambda: victim(first.pid, "worker") is not None)
    second = controllers.start("two")
    wait_for(lambda: (controllers.store / "studies/two/plan.json").exists())
    first.kill()
    first.wait()
    second.wait()
    assert second.returncode == 0
    assert contents(Store(controllers.store)) == undisturbed


@pytest.mark.parametrize("presses", [1, 2, 3], ids=["drain", "stop", "kill"])
def test_after_interrupts_the_next_run_ends_with_the_same_bits(
    controllers: Controllers, undisturbed: dict[str, str], presses: int
) -> None:
    first = controllers.start()
    wait_for(lambda: victim(first.pid, "worker") is not None)
    for _ in range(presses):
        first.send_signal(signal.SIGINT)
        time.sleep(0.02)
    first.wait()
    # Not complete, and no traceback; a signal after the study ended is Python's own affair.
    assert first.returncode in (1, -signal.SIGINT)
    assert not controllers.processes()
    second = controllers.start()
    second.wait()
    assert second.returncode == 0
    assert contents(Store(controllers.store)) == undisturbed
