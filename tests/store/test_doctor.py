"""What a look at a store finds, and that mending it loses nothing."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "execution"))

from toy_study import contents, pairs, run, study

from ablate.cli.main import main
from ablate.execution.book import JobState
from ablate.store.attempts import new_attempt
from ablate.store.doctor import examine
from ablate.store.findings import Finding, Severity
from ablate.store.layout import Store
from ablate.store.processes import identify, is_alive, this_process
from ablate.store.room import mount_type


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("ran") / "store")
    assert run(store, study(1)).complete
    return store


@pytest.fixture
def store(ran: Store, tmp_path: Path) -> Store:
    subprocess.run(["cp", "-a", str(ran.root), str(tmp_path / "store")], check=True)
    return Store(tmp_path / "store")


def artifact(store: Store) -> Path:
    """Return the folder of the study's first job."""
    job = pairs()
    return store.artifact(job.stage, job.fingerprint)


def flip(folder: Path) -> None:
    path = folder / "nested" / "pairs"
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)


def other_job(folder: Path) -> None:
    record = json.loads((folder / "manifest.json").read_text())
    record["config"]["seed"] = 77
    del record["seal"]  # As a program would that does not know of it.
    (folder / "manifest.json").write_text(json.dumps(record))


DAMAGE: dict[str, tuple[Callable[[Path], object], bool]] = {
    "truncated": (lambda folder: (folder / "nested" / "pairs").write_text("x"), False),
    "lost": (lambda folder: (folder / "nested" / "pairs").unlink(), False),
    "added": (lambda folder: (folder / "more").write_text("x"), False),
    "no manifest": (lambda folder: (folder / "manifest.json").write_text("{"), False),
    "flipped": (flip, True),
    "of another job": (other_job, True),
}


def kinds(findings: list[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


def test_a_store_that_is_well_has_no_findings(store: Store) -> None:
    assert list(examine(store, hashes=True)) == []


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_mended_and_computed_again(store: Store, name: str) -> None:
    spoil, only_with_hashes = DAMAGE[name]
    before = contents(store)
    spoil(artifact(store))
    assert kinds(list(examine(store))) == ([] if only_with_hashes else ["damaged"])
    (found,) = examine(store, hashes=True)
    assert found.severity is Severity.ERROR and not found.mended
    found.repair()
    assert found.mended and not artifact(store).exists()
    assert run(store, study(1)).complete and contents(store) == before


def test_an_artifact_that_a_study_works_on_is_not_set_aside(store: Store) -> None:
    (artifact(store) / "more").write_text("x")
    claim = store.claim(pairs().fingerprint)
    assert claim.acquire()
    (found,) = examine(store)
    found.repair()
    assert not found.mended and found.problem == "a study is busy with it"
    assert artifact(store).exists()
    claim.release()


def test_an_intent_that_was_never_completed_is_set_aside(store: Store) -> None:
    new_attempt(store.job(pairs().fingerprint), 9, carry=None)
    (found,) = examine(store)
    assert found.kind == "torn"
    found.repair()
    assert found.mended and not (store.job(pairs().fingerprint) / "9").exists()


def test_a_process_whose_controller_is_dead_is_found_and_ended(store: Store) -> None:
    attempt = new_attempt(store.job(pairs().fingerprint), 9, carry=None)
    attempt.write_request({"stage": "preferences"})
    sleeper = subprocess.Popen(["sleep", "600"], start_new_session=True)
    process = identify(sleeper.pid)
    attempt.heartbeat_file.write_text(json.dumps({**process.as_json(), "counter": 3}))
    (found,) = examine(store)
    assert found.kind == "zombie" and str(sleeper.pid) in found.message
    found.repair()
    assert found.mended and not is_alive(process)
    sleeper.wait(timeout=10)


def test_a_job_that_outlives_its_controller_is_left_to_the_next_one(store: Store) -> None:
    """Of a cluster's jobs the last attempt goes on; an earlier one and a done job's are zombies."""
    folders = [(pairs("other"), 1), (pairs("other"), 2), (pairs(), 9)]
    attempts = [new_attempt(store.job(job.fingerprint), n, carry=None) for job, n in folders]
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as sleeper:
        beat = json.dumps({**identify(sleeper.pid).as_json(), "counter": 3})
        for attempt in attempts:
            attempt.write_request({"stage": "preferences", "engine": "slurm"})
            attempt.heartbeat_file.write_text(beat)
        found = {one.where.rpartition("attempts/")[2]: one for one in examine(store)}
        sleeper.kill()
    assert [found[attempt.name].kind for attempt in attempts] == ["zombie", "survivor", "zombie"]
    assert found[attempts[1].name].mend is None


def test_another_process_with_the_same_number_is_left_alone(store: Store) -> None:
    attempt = new_attempt(store.job(pairs().fingerprint), 9, carry=None)
    attempt.write_request({"stage": "preferences"})
    # This very process, but as one that started at another time.
    record = {**this_process().as_json(), "start": "1", "counter": 3}
    attempt.heartbeat_file.write_text(json.dumps(record))
    assert "zombie" not in kinds(list(examine(store)))


def test_clocks_that_were_changed_are_noticed(store: Store) -> None:
    folder = artifact(store)
    record = json.loads((folder / "manifest.json").read_text())
    del record["seal"]
    future = time.time() + 86400
    (folder / "manifest.json").write_text(
        json.dumps({**record, "started": future, "ended": future + 1})
    )
    status = store.study("toy") / "status.json"
    status.write_text(json.dumps({**json.loads(status.read_text()), "updated": future}))
    found = list(examine(store))
    assert kinds(found) == ["clock", "clock"]
    assert {one.severity for one in found} == {Severity.NOTE}
    assert run(store, study(1)).count(JobState.CACHED) == 5


def test_inputs_that_are_gone_are_named(store: Store) -> None:
    shutil.rmtree(artifact(store))
    found = list(examine(store))
    assert kinds(found) == ["inputs", "inputs"]
    assert all(pairs().fingerprint in one.message for one in found)


def test_an_open_folder_is_found_and_closed(store: Store) -> None:
    (store.root / "artifacts").chmod(0o755)
    (found,) = examine(store)
    assert found.kind == "permissions"
    found.repair()
    assert found.mended and list(examine(store)) == []


def test_a_store_whose_results_are_another_stores_is_noticed(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    other.create()
    shutil.rmtree(other.root / "artifacts")
    (other.root / "artifacts").symlink_to(store.root / "artifacts")
    found = list(examine(other))
    assert kinds(found) == ["mixed"] and found[0].severity is Severity.ERROR


def test_what_a_dead_process_left_half_written_is_removed(store: Store) -> None:
    path = store.study("toy") / "status.json.partial"
    path.write_text("{")
    assert list(examine(store)) == []  # It may be written just now.
    os.utime(path, (0, 0))
    (found,) = examine(store)
    found.repair()
    assert found.kind == "partial" and not path.exists()


def test_the_type_of_a_file_system_is_that_of_the_longest_mount() -> None:
    mounts = (
        "/dev/sda1 / ext4 rw 0 0\n"
        "server:/x /shared nfs4 rw 0 0\n"
        "tmpfs /shared/me/fast\\040disk tmpfs rw 0 0\n"
    )
    assert mount_type(Path("/shared/me/store"), mounts) == "nfs4"
    assert mount_type(Path("/shared/me/fast disk/store"), mounts) == "tmpfs"
    assert mount_type(Path("/shared-too/store"), mounts) == "ext4"


STUDY = (
    "study: s\nseeds: 1\nbase: {model: tiny-instruct, dataset: ai-fine}\ngrid: {algorithm: [dpo]}\n"
)


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a study that was stopped at once: its records are there, results are not."""
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(STUDY)
    monkeypatch.setenv("ABLATE_DISK_RESERVE", "900TB")
    main(["run", "s.yaml", "--no-tracking", "--no-report"])
    monkeypatch.delenv("ABLATE_DISK_RESERVE")
    return tmp_path / ".ablate" / "studies" / "s"


@pytest.mark.parametrize("torn", [["plan.json"], ["runs.json"], ["status.json"],
                                  ["plan.json", "runs.json", "status.json"]])  # fmt: skip
def test_records_of_a_study_are_written_anew_from_its_file(
    planned: Path, torn: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {name: json.loads((planned / name).read_text()) for name in ("plan.json", "runs.json")}
    for name in torn:
        (planned / name).write_text("{")
    capsys.readouterr()
    assert main(["doctor", "--repair", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    assert [one["kind"] for one in found] == ["record"] * len(torn)
    assert all(one["mended"] for one in found)
    after = {name: json.loads((planned / name).read_text()) for name in before}
    assert after == before
    assert main(["doctor"]) == main(["status"]) == main(["gc"]) == 0


def test_a_plan_that_the_stored_file_does_not_give_any_more_is_not_made_up(
    planned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (planned / "plan.json").write_text("{")
    (planned / "study.yaml").write_text(STUDY.replace("dpo", "ppo"))
    assert main(["doctor", "--repair"]) == 3
    assert "gives another plan than the record that is left" in capsys.readouterr().out
    assert (planned / "plan.json").read_text() == "{"


def test_where_no_store_is_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == main(["gc"]) == 3
    assert "no store is here" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
