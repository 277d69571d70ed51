"""A disk that is full at one moment: the study says so, and goes on to the same bytes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "execution"))

from toy_study import contents, pairs, run, training

from ablate.errors import SurroundingsError
from ablate.execution.listener import Listener
from ablate.plan.job import Job
from ablate.store.commit import commit
from ablate.store.layout import Store
from ablate.store.manifest import Manifest
from ablate.tracking.events import RunFinished
from ablate.tracking.outbox import OUTBOX, Outbox, read, tracking_folder

Disk = Callable[[Path], "Filled"]


class Filled:
    """A file system of 1 MB that can be filled to its last byte and freed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._filler = folder, folder / "filler"

    def fill(self) -> None:
        with self._filler.open("ab", buffering=0) as file:
            for size in (4096, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    continue

    def free(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Makes a folder a small file system of its own."""
    mounted: list[Path] = []

    def mount(folder: Path) -> Filled:
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
        root = os.geteuid() == 0
        if not root or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small file system needs root")
        mounted.append(folder)
        return Filled(folder)

    yield mount
    for folder in reversed(mounted):
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def calm(tmp_path: Path) -> dict[str, str]:
    """What the study leaves where there is room."""
    store = Store(tmp_path / "calm")
    assert run(store, [pairs(), training()]).complete
    return contents(store)


def test_a_disk_that_is_full_for_the_status_stops_the_study_which_then_goes_on(
    disk: Disk, tmp_path: Path, calm: dict[str, str]
) -> None:
    # Only what is written about the study is on the small disk.
    store = Store(tmp_path / "store")
    small = disk(store.root / "studies")

    class Filler(Listener):
        def job_started(self, job: Job, attempt: int) -> None:
            small.fill()

    with pytest.raises(SurroundingsError, match=r"status\.json.*disk is full.*same command"):
        run(store, [pairs(), training()], listener=Filler())
    small.free()
    assert run(store, [pairs(), training()]).complete
    assert contents(store) == calm and not list(store.root.rglob("*.partial"))


def test_a_disk_that_is_full_for_a_manifest_stops_the_study_and_the_job_is_not_run_again(
    disk: Disk, tmp_path: Path, calm: dict[str, str]
) -> None:
    small = disk(tmp_path / "disk")
    store, job = Store(small.folder / "store"), pairs()
    elsewhere = tmp_path / "studies"
    elsewhere.mkdir()
    store.root.mkdir()
    (store.root / "studies").symlink_to(elsewhere)
    run(store, [job])
    # As a controller leaves it that stops between the worker's end and the commit.
    attempt = store.attempts(job.fingerprint)[0]
    os.rename(store.artifact(job.stage, job.fingerprint), attempt.work)
    (attempt.work / "manifest.json").unlink()
    small.fill()
    with pytest.raises(SurroundingsError, match=r"1/work.*disk is full.*same command"):
        commit(store, attempt)
    assert store.intact(job.stage, job.fingerprint) is None
    # The next run does not even try, and says why.
    assert "the disk would be full" in (run(store, [job]).stopped or "")
    small.free()
    assert run(store, [job, training()]).complete
    assert contents(store) == calm and len(store.attempts(job.fingerprint)) == 1


def test_a_disk_that_is_full_for_the_outbox_costs_no_job_and_the_next_run_tells_what_is_missing(
    disk: Disk, tmp_path: Path, calm: dict[str, str]
) -> None:
    store, jobs = Store(tmp_path / "store"), [pairs(), training()]
    small = disk(tracking_folder(store.root, "toy"))

    class Teller(Listener):
        """Tells the outbox of every artifact, as tracking does."""

        def __init__(self) -> None:
            self.outbox = Outbox(store.root, "toy")

        def job_committed(self, job: Job, manifest: Manifest) -> None:
            self.outbox.append(RunFinished(job.fingerprint))

        def job_cached(self, job: Job, manifest: Manifest) -> None:
            self.job_committed(job, manifest)

    small.fill()
    first = Teller()
    assert run(store, jobs, listener=first).complete
    assert contents(store) == calm
    small.free()
    # Whatever part of a line got through, the next one is whole.
    first.outbox.append(RunFinished("later"))
    assert _told(store) == {"later"}
    assert run(store, jobs, listener=Teller()).complete
    assert _told(store) == {"later", *(job.fingerprint for job in jobs)}


def _told(store: Store) -> set[str]:
    path = tracking_folder(store.root, "toy") / OUTBOX
    return {entry.event.run for entry, _ in read(path, 0) if isinstance(entry.event, RunFinished)}


def test_a_line_of_which_a_full_disk_took_a_part_costs_only_itself(
    disk: Disk, tmp_path: Path
) -> None:
    small = disk(tracking_folder(tmp_path, "s"))
    outbox = Outbox(tmp_path, "s")
    outbox.append(RunFinished("first"))
    small.fill()
    # The first page of the file has room left; a line longer than that is cut.
    with pytest.raises(OSError, match="No space left"):
        outbox.append(RunFinished("x" * 5000))
    small.free()
    outbox.append(RunFinished("second"))
    found = [entry.event.run for entry, _ in read(small.folder / OUTBOX, 0)]
    assert found == ["first", "second"]
