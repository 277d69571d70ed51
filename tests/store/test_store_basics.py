import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.errors import SurroundingsError
from ablate.spec.stages import PreferencesConfig
from ablate.store.code import code_digest
from ablate.store.files import (
    read_json,
    sha256,
    surroundings,
    tree_files,
    write_atomic,
    write_json,
)
from ablate.store.layout import Store
from ablate.store.locks import Lock
from ablate.store.manifest import FileEntry, damage, manifest_from
from ablate.store.processes import identify, is_alive, kill_session, process_id, this_process
from ablate.store.workspace import Workspace


def test_a_file_is_replaced_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    write_json(tmp_path / "a.json", {"x": [2.5, None, "é"]})
    assert read_json(tmp_path / "a.json") == {"x": [2.5, None, "é"]}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_nan_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert read_json(tmp_path / "a.json") == 1


def test_a_failed_replacement_leaves_no_partial_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_atomic(tmp_path / "folder", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_missing_and_torn_files_read_as_none(tmp_path: Path) -> None:
    (tmp_path / "torn.json").write_text('{"x": ')
    assert read_json(tmp_path / "torn.json") is None
    assert read_json(tmp_path / "missing.json") is None
    assert read_json(tmp_path / "torn.json" / "below") is None


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(tmp_path / "a") == expected


def test_errors_that_a_user_can_mend_say_how(tmp_path: Path) -> None:
    with pytest.raises(SurroundingsError, match=r"the disk is full\. Free some space"):
        with surroundings(tmp_path):
            raise OSError(errno.ENOSPC, "No space left on device")


def test_other_operating_system_errors_stay_bugs(tmp_path: Path) -> None:
    with pytest.raises(OSError), surroundings(tmp_path):
        raise OSError(errno.EBADF, "Bad file descriptor")


@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "pipe"])
def test_a_tree_with_more_than_plain_files_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "folder").mkdir()
    if kind == "pipe":
        os.mkfifo(tmp_path / "x")
    else:
        (tmp_path / "x").symlink_to(__file__ if kind == "link to a file" else tmp_path / "folder")
    with pytest.raises(ValueError, match="x: not a regular file"):
        tree_files(tmp_path)


def test_damage_names_the_first_difference(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    good = {"a": FileEntry(3, sha256(tmp_path / "a"))}
    assert damage(tmp_path, good, hashes=True) is None
    assert damage(tmp_path, {"a": FileEntry(4, "")}, hashes=False) == "a: 3 bytes instead of 4"
    assert damage(tmp_path, {"a": FileEntry(3, "")}, hashes=False) is None
    assert damage(tmp_path, {"a": FileEntry(3, "")}, hashes=True) is not None
    assert damage(tmp_path, {**good, "b": FileEntry(0, "")}, hashes=False) == "b: missing"
    assert damage(tmp_path, {}, hashes=False) == "a: not in the manifest"


@pytest.mark.parametrize("record", [None, [], {}, {"schema": 0}, {"schema": 1, "files": []}])
def test_what_is_no_manifest_reads_as_none(record: object) -> None:
    assert manifest_from(record) is None


def test_a_lock_has_one_holder_who_is_named(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert first.acquire(study="mine")
    assert not second.acquire()
    assert second.holder()["pid"] == os.getpid() and second.holder()["study"] == "mine"
    first.release()
    assert second.acquire()
    second.release()


def test_a_lock_is_free_when_its_holder_was_killed(tmp_path: Path) -> None:
    code = (
        "import signal, sys; from pathlib import Path; from ablate.store.locks import Lock;"
        "lock = Lock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        lock = Lock(tmp_path / "lock")
        assert not lock.acquire()
        holder.kill()
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped
        assert lock.acquire()
        lock.release()


def test_a_process_is_known_by_more_than_its_number() -> None:
    mine = this_process()
    assert is_alive(mine) and process_id(mine.as_json()) == mine
    assert is_alive(type(mine)(mine.pid, "another time", mine.boot, mine.host)) is False
    assert is_alive(type(mine)(mine.pid, mine.start, "another boot", mine.host)) is False
    assert is_alive(type(mine)(mine.pid, mine.start, mine.boot, "another host")) is None


def test_a_dead_process_that_nobody_reaped_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        process = identify(child.pid)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_alive(process) is False


def test_a_session_is_killed_with_its_children() -> None:
    code = (
        "import subprocess, sys, time;"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(p.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as leader:
        assert leader.stdout is not None
        grandchild = identify(int(leader.stdout.readline()))
        assert kill_session(identify(leader.pid))
        while is_alive(grandchild):
            pass


@pytest.mark.parametrize("record", [None, {}, {"pid": 1}])
def test_an_incomplete_record_names_no_process(record: dict[str, object] | None) -> None:
    assert process_id(record) is None


def test_a_store_on_two_file_systems_is_refused(tmp_path: Path) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or os.stat(shared).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("needs a second file system")
    elsewhere = shared / f"ablate-{os.getpid()}"
    elsewhere.mkdir()
    try:
        (tmp_path / "artifacts").symlink_to(elsewhere)
        with pytest.raises(SurroundingsError, match="different file systems"):
            Store(tmp_path).create()
    finally:
        elsewhere.rmdir()


def test_the_trash_can_be_emptied(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.create()
    folder = store.artifact("sft", "f" * 16)
    folder.mkdir(parents=True)
    store.discard(folder)
    assert not folder.exists() and len(list((store.root / "trash").iterdir())) == 1
    store.empty_trash()
    assert list((store.root / "trash").iterdir()) == []


def test_the_code_has_a_digest() -> None:
    assert len(code_digest()) == 16 and int(code_digest(), 16) >= 0


def workspace(folder: Path) -> Workspace:
    for name in ("work", "scratch"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    config = PreferencesConfig(dataset="x")
    return Workspace("preferences", config, {}, folder / "work", folder / "scratch")


def test_a_loaded_checkpoint_cuts_the_metrics_back_to_its_step(tmp_path: Path) -> None:
    import torch

    first = workspace(tmp_path)
    first.log_metrics(1, {"loss": float("nan")})
    first.count(generated_tokens=7)
    first.save_checkpoint({"step": 1, "weights": torch.tensor([0.1, 0.2])})
    first.log_metrics(2, {"loss": 1.0})
    second = workspace(tmp_path)
    state = second.load_checkpoint()
    assert state is not None and state["step"] == 1
    assert torch.equal(state["weights"], torch.tensor([0.1, 0.2]))
    assert (tmp_path / "work" / "metrics.jsonl").read_text() == '{"step": 1, "loss": null}\n'
    assert second.counts == {"generated_tokens": 7}


def test_a_checkpoint_is_announced_once_it_is_complete(tmp_path: Path) -> None:
    seen: list[bool] = []
    space = workspace(tmp_path)
    space.report = lambda event: seen.append((space.scratch / "checkpoint.pt").exists())
    space.save_checkpoint({"step": 1})
    assert seen == [True]
