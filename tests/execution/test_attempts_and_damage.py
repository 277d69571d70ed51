"""Zombie writers, damaged artifacts, full and read-only disks, left-over attempts."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from toy_study import OPTIONS, contents, pairs, run, training

from ablate.errors import SurroundingsError
from ablate.execution.listener import Listener
from ablate.execution.options import Outcome
from ablate.plan.job import Job
from ablate.store.attempts import Attempt
from ablate.store.commit import CommitRefused, commit
from ablate.store.files import write_json
from ablate.store.layout import Store
from ablate.store.processes import identify, is_alive


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def artifact(store: Store, job: Job) -> Path:
    return store.artifact(job.stage, job.fingerprint)


def pairs_file(store: Store, job: Job) -> Path:
    return artifact(store, job) / "nested" / "pairs"


def test_a_truncated_artifact_goes_to_the_trash_and_is_computed_again(store: Store) -> None:
    job = pairs()
    run(store, [job])
    before = contents(store)
    pairs_file(store, job).write_text("cut")
    assert run(store, [job]).complete
    assert contents(store) == before
    assert len(list((store.root / "trash").glob(f"preferences-{job.fingerprint}-*"))) == 1


def test_changed_bytes_of_equal_length_are_found_by_hash(store: Store) -> None:
    job = pairs()
    run(store, [job])
    path = pairs_file(store, job)
    path.write_bytes(b"x" * path.stat().st_size)
    assert store.has(job.stage, job.fingerprint)  # sizes alone do not tell
    assert store.intact(job.stage, job.fingerprint, hashes=True) is None
    assert not artifact(store, job).exists()


def test_changed_bytes_of_equal_length_cost_a_recompute_and_no_wrong_number(store: Store) -> None:
    job = pairs()
    run(store, [job])
    before = contents(store)
    path = pairs_file(store, job)
    path.write_bytes(b"x" * path.stat().st_size)
    assert run(store, [job]).complete
    assert contents(store) == before


@pytest.mark.parametrize("damage", ["no manifest", "torn manifest", "missing file", "extra file"])
def test_every_kind_of_damage_costs_a_recompute(store: Store, damage: str) -> None:
    job = pairs()
    run(store, [job])
    before, folder = contents(store), artifact(store, job)
    if damage == "no manifest":
        (folder / "manifest.json").unlink()
    elif damage == "torn manifest":
        os.truncate(folder / "manifest.json", 20)
    elif damage == "missing file":
        pairs_file(store, job).unlink()
    else:
        (folder / "extra").write_text("")
    outcome = run(store, [job])
    assert outcome.complete and contents(store) == before


def test_a_finished_attempt_of_a_dead_controller_is_committed_without_running(
    store: Store,
) -> None:
    job = pairs()
    run(store, [job])
    before = contents(store)
    # As if the controller had died between the worker's end and the commit.
    os.rename(artifact(store, job), store.attempts(job.fingerprint)[0].work)
    assert run(store, [job]).complete
    assert contents(store) == before and len(store.attempts(job.fingerprint)) == 1


def test_an_intent_that_was_never_completed_is_set_aside(store: Store) -> None:
    job = pairs()
    (store.job(job.fingerprint) / "1" / "work").mkdir(parents=True)
    assert run(store, [job]).complete
    assert [attempt.number for attempt in store.attempts(job.fingerprint)] == [1]


def test_a_late_writer_of_attempt_1_cannot_reach_the_commit_of_attempt_2(store: Store) -> None:
    job = pairs("die once")
    run(store, [job])
    before = contents(store)
    first, second = store.attempts(job.fingerprint)
    # The zombie goes on where it was: new checkpoint, output, exit record.
    for folder in (first.work, first.scratch):
        folder.mkdir()
        (folder / "checkpoint.pt").write_text("late")
    write_json(first.exit_file, {"attempt": 1, "status": "ok", "files": {}})
    with pytest.raises(CommitRefused, match="superseded"):
        commit(store, first)
    assert run(store, [job]).complete
    assert contents(store) == before
    manifest = store.manifest(job.stage, job.fingerprint)
    assert manifest is not None and manifest.attempt == second.number == 2


def test_a_late_checkpoint_of_attempt_1_does_not_change_the_copy_of_attempt_2(
    store: Store,
) -> None:
    job = pairs("die once")
    copies: list[str] = []

    class Zombie(Listener):
        def job_started(self, job: Job, attempt: int) -> None:
            if attempt == 2:
                first, second = store.attempts(job.fingerprint)
                first.scratch.mkdir()
                (first.scratch / "checkpoint.pt").write_text("late")
                copies.append((second.scratch / "checkpoint.pt").read_text())

    assert run(store, [job], listener=Zombie()).complete
    assert copies == ["kept"]


def test_files_that_differ_from_the_exit_record_are_not_committed(store: Store) -> None:
    job = pairs()
    run(store, [job])
    attempt = store.attempts(job.fingerprint)[0]
    os.rename(artifact(store, job), attempt.work)
    path = attempt.work / "nested" / "pairs"
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(CommitRefused, match="nested/pairs: other content"):
        commit(store, attempt)
    assert not artifact(store, job).exists()


def test_the_first_commit_of_a_job_wins(store: Store) -> None:
    job = pairs()
    run(store, [job])
    first = store.manifest(job.stage, job.fingerprint)
    aside = store.root / "aside"
    os.rename(artifact(store, job), aside)
    run(store, [job])
    attempt = store.attempts(job.fingerprint)[-1]
    os.rename(artifact(store, job), attempt.work)
    os.rename(aside, artifact(store, job))
    assert attempt.number == 2 and commit(store, attempt) == first


def test_a_left_over_worker_is_killed_before_the_next_attempt(store: Store) -> None:
    job = pairs()
    attempt = Attempt(store.job(job.fingerprint) / "1")
    attempt.work.mkdir(parents=True)
    attempt.write_request({"engine": "local", "config": job.config.model_dump()})
    sleeper = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    process = identify(sleeper.pid)
    write_json(attempt.heartbeat_file, {**process.as_json(), "counter": 1})
    assert run(store, [job]).complete
    assert not is_alive(process)
    assert sleeper.wait() == -9
    assert store.attempts(job.fingerprint)[-1].number == 2


def test_a_process_that_has_the_number_of_a_dead_worker_is_left_alone(store: Store) -> None:
    job = pairs()
    attempt = Attempt(store.job(job.fingerprint) / "1")
    attempt.work.mkdir(parents=True)
    attempt.write_request({"engine": "local", "config": job.config.model_dump()})
    mine = replace(identify(os.getpid()), start="another time")
    write_json(attempt.heartbeat_file, {**mine.as_json(), "counter": 1})
    assert run(store, [job]).complete  # and this process is still here


def test_a_job_that_another_study_runs_is_waited_for(store: Store, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = pairs("wait", location=str(gate))
    outcomes: dict[str, Outcome] = {}

    class Opener(Listener):
        def job_shared(self, job: Job, holder: object) -> None:
            gate.touch()

    def first() -> None:
        outcomes["first"] = run(store, [job], name="first")

    thread = threading.Thread(target=first)
    thread.start()
    while not gate.with_suffix(".started").exists():
        thread.join(0.01)
    outcomes["second"] = run(store, [job], name="second", listener=Opener())
    thread.join()
    assert [outcome.complete for outcome in outcomes.values()] == [True, True]
    assert len(store.attempts(job.fingerprint)) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_named_and_the_next_run_goes_on(small_disk: Path) -> None:
    store, filler = Store(small_disk / "store"), small_disk / "filler"
    run(store, [pairs()])
    before = contents(store)
    free = os.statvfs(small_disk)
    filler.write_bytes(b"x" * free.f_bavail * free.f_bsize)
    with pytest.raises(SurroundingsError, match="disk is full"):
        run(store, [pairs(), training()])
    assert contents(store) == before
    filler.unlink()
    assert run(store, [pairs(), training()]).complete
    assert not list(store.root.rglob("*.partial"))


def test_a_disk_that_fills_up_inside_a_job_ends_the_study_clearly(small_disk: Path) -> None:
    store, filler = Store(small_disk / "store"), small_disk / "filler"
    gate = small_disk.parent / "gate"
    job = pairs("wait", location=str(gate))

    class Filler(Listener):
        def job_started(self, job: Job, attempt: int) -> None:
            while not gate.with_suffix(".started").exists():
                pass
            free = os.statvfs(small_disk)
            filler.write_bytes(b"x" * free.f_bavail * free.f_bsize)
            gate.touch()

    with pytest.raises(SurroundingsError, match="disk is full"):
        run(store, [job], listener=Filler())
    filler.unlink()
    assert run(store, [job]).complete


def test_a_read_only_disk_is_named(small_disk: Path) -> None:
    command = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(command, check=True)
    with pytest.raises(SurroundingsError, match="read-only"):
        run(Store(small_disk / "store"), [pairs()])


def test_a_worker_refuses_a_request_that_describes_another_job(store: Store) -> None:
    job = pairs("die once")
    run(store, [job], options=replace(OPTIONS, retries=0))
    attempt = store.attempts(job.fingerprint)[0]
    request = json.loads((attempt.folder / "request.json").read_text())
    request["config"]["examples"] = 7
    folder = store.job(job.fingerprint) / "2"
    (folder / "work").mkdir(parents=True)
    (folder / "request.json").write_text(json.dumps(request))
    command = [sys.executable, "-m", "ablate.execution.worker", str(folder)]
    ended = subprocess.run(command, capture_output=True, check=False)
    assert ended.returncode == 1 and b"the request describes job" in ended.stderr
