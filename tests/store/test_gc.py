"""What lives, what goes to the trash, and that it comes back."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "execution"))

from toy_study import contents, run, study

from ablate.errors import SurroundingsError
from ablate.execution.book import JobState
from ablate.plan.job import Job
from ablate.store.gc import GcOptions, collect, empty, sweep, undo
from ablate.store.layout import Store
from ablate.store.reach import merge_grown, pin
from ablate.store.trash import Trash
from ablate.store.usage import disk_usage


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two studies: ``first`` of one seed, ``second`` of that seed and another."""
    store = Store(tmp_path_factory.mktemp("ran") / "store")
    assert run(store, study(1), name="first").complete
    assert run(store, study(2), name="second").complete
    return store


@pytest.fixture
def store(ran: Store, tmp_path: Path) -> Store:
    """A copy of a store that two studies share."""
    subprocess.run(["cp", "-a", str(ran.root), str(tmp_path / "store")], check=True)
    return Store(tmp_path / "store")


def fingerprints(jobs: Sequence[Job]) -> set[str]:
    """Return the jobs and what they read from."""
    found = {job.fingerprint for job in jobs}
    for job in jobs:
        found |= fingerprints([upstream for _, upstream in job.inputs])
    return found


def names(store: Store) -> set[str]:
    """Return the fingerprints of all artifacts."""
    return {path.name for path in (store.root / "artifacts").glob("*/*")}


def du(path: Path) -> int:
    """Return what the tool of the system says, in bytes."""
    words = subprocess.run(["du", "-s", "-B1", str(path)], capture_output=True, text=True)
    return int(words.stdout.split()[0])


def test_nothing_goes_while_every_artifact_is_in_a_plan(store: Store) -> None:
    before = contents(store)
    found, went = sweep(store, GcOptions())
    assert (
        not [item for item in found.items if item.kind != "scratch"] and contents(store) == before
    )
    assert sum(kept.count for kept in found.kept if kept.why == "in the plan of a study") == 18


def test_what_a_removed_study_alone_needs_goes_and_comes_back(store: Store) -> None:
    before = contents(store)
    sweep(store, GcOptions(remove=("second",)))
    assert names(store) == fingerprints(study(1))
    assert not store.study("second").exists() and store.study("first").exists()
    back, problems = undo(store)
    assert not problems and contents(store) == before and store.study("second").exists()
    assert run(store, study(2), name="second").count(JobState.CACHED) == 9


def test_an_artifact_stays_through_either_of_two_studies(store: Store) -> None:
    sweep(store, GcOptions(remove=("first",)))
    assert names(store) == fingerprints(study(2))


def test_a_removed_study_computes_the_same_bytes_again(store: Store) -> None:
    before = contents(store)
    sweep(store, GcOptions(remove=("first", "second")))
    assert names(store) == set()
    assert run(store, study(2), name="second").complete and contents(store) == before


def test_a_dry_run_moves_nothing_and_its_sizes_are_those_of_du(store: Store) -> None:
    total = du(store.root)
    found = collect(store, GcOptions(remove=("second",)))
    assert du(store.root) == total == disk_usage(store.root)
    for item in found.items:
        assert item.bytes <= du(item.path)
    moved = sum(item.bytes for item in found.items)
    kept = sum(kept.bytes for kept in found.kept)
    rest = [store.study("first"), store.root / "trash", store.root / "guard"]
    rest += [path for path in store.root.glob("mlflow*")]
    # What is left are the folders above jobs, and stages: one block or none each.
    above = [store.root, *(store.root / n for n in ("artifacts", "attempts", "studies"))]
    above += list((store.root / "artifacts").iterdir())
    outside = sum(path.lstat().st_blocks * 512 for path in above)
    assert moved + kept + sum(map(du, rest)) + outside == total


def test_the_old_version_of_an_edited_study_goes(store: Store) -> None:
    sweep(store, GcOptions(remove=("first",)))
    assert run(store, study(1), name="second").complete
    found, _ = sweep(store, GcOptions())
    assert names(store) == fingerprints(study(1))
    assert {item.why for item in found.items} == {
        "no plan or report names it", "no plan or report names the job"
    }  # fmt: skip


def test_what_a_report_shows_stays_until_its_page_is_gone(store: Store, tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text("")
    pin(store, page, fingerprints(study(2)))
    sweep(store, GcOptions(remove=("first", "second")))
    assert names(store) == fingerprints(study(2))
    page.unlink()
    sweep(store, GcOptions())
    assert names(store) == set()


def test_what_is_asked_to_stay_stays(store: Store) -> None:
    kept = sorted(fingerprints(study(2)) - fingerprints(study(1)))[0]
    sweep(store, GcOptions(remove=("second",), keep=(kept[:8],)))
    assert names(store) == fingerprints(study(1)) | {kept}


def test_a_claimed_job_is_left_alone(store: Store) -> None:
    job = study(1)[0]
    claim = store.claim(job.fingerprint)
    assert claim.acquire(study="elsewhere")
    found, went = sweep(store, GcOptions(remove=("first", "second")))
    claim.release()
    assert names(store) == {job.fingerprint}
    assert len(found.items) == len(went) + 2  # its artifact, and its attempts


def test_a_plan_that_cannot_be_read_stops_the_collection(store: Store) -> None:
    (store.study("first") / "plan.json").write_text("{")
    with pytest.raises(SurroundingsError, match="plan of study first cannot be read"):
        sweep(store, GcOptions())


def test_a_study_that_runs_is_not_removed(store: Store) -> None:
    record = json.loads((store.study("first") / "lease").read_bytes())
    assert record["pid"]
    lease = store.study("first") / "lease"
    code = (
        "import signal, sys; from pathlib import Path; from ablate.store.locks import Lock;"
        "Lock(Path(sys.argv[1])).acquire(); print('held', flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", code, str(lease)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(SurroundingsError, match="a controller runs it"):
            sweep(store, GcOptions(remove=("first",)))
        holder.kill()


def test_jobs_that_a_plan_has_grown_by_outlive_a_restart(tmp_path: Path) -> None:
    base, grown = {"fingerprint": "aa"}, {"fingerprint": "bb"}
    first = merge_grown(tmp_path, {"jobs": [base]}, base=["aa"])
    (tmp_path / "plan.json").write_text(json.dumps({**first, "jobs": [base, grown]}))
    assert merge_grown(tmp_path, {"jobs": [base]}, base=["aa"])["grown"] == [grown]
    assert merge_grown(tmp_path, {"jobs": [base]}, base=["aa", "cc"])["grown"] == []


def test_an_undo_finds_its_place_taken_and_says_so(store: Store) -> None:
    sweep(store, GcOptions(remove=("second",)))
    assert run(store, study(2), name="second").complete
    before = contents(store)
    _, problems = undo(store)
    assert problems and all("its place is taken again" in problem for problem in problems)
    assert contents(store) == before


def test_the_trash_is_emptied_by_age(store: Store) -> None:
    sweep(store, GcOptions(remove=("second",)))
    assert empty(store, older_seconds=60.0) == []
    entries = Trash(store.root).entries()
    assert len(empty(store)) == len(entries) > 0
    assert list((store.root / "trash").iterdir()) == []
    with pytest.raises(SurroundingsError, match="nothing was set aside"):
        undo(store)


def test_a_sweep_beside_running_studies_takes_nothing_they_need(tmp_path: Path) -> None:
    """Sweeps without a pause while a real controller runs, and while others start and end."""
    store = Store(tmp_path / "store")
    toy = Path(__file__).parents[1] / "execution" / "toy_study.py"
    stop = threading.Event()
    sweeps: list[int] = []

    def sweep_on() -> None:
        while not stop.is_set():
            sweeps.append(len(sweep(store, GcOptions())[1]))
            time.sleep(0.02)

    # Leftovers of a study that nobody has any more, which the next one needs again.
    assert run(store, study(1), name="gone").complete
    stop_thread = threading.Thread(target=sweep_on)
    for name in ("lease", "plan.json", "status.json"):
        (store.study("gone") / name).unlink()
    stop_thread.start()
    try:
        with subprocess.Popen([sys.executable, str(toy), str(store.root), "toy"]) as controller:
            assert controller.wait(timeout=120) == 0
    finally:
        stop.set()
        stop_thread.join()
    assert len(sweeps) > 3
    assert names(store) == fingerprints(study(3))
    assert run(store, study(3)).count(JobState.CACHED) == 13
