"""Bytes that a crash or a disk changed: found and made anew, passed over, or refused by name.

What of this the store's own tests have (artifacts, plans, outbox lines torn at the end) is there.
"""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "execution"))

from toy_study import OPTIONS, contents, evaluation, pairs, run, study, training

from ablate.cli.main import main
from ablate.errors import SurroundingsError
from ablate.execution.book import JobState
from ablate.execution.listener import Listener
from ablate.execution.runlog import run_log
from ablate.execution.status import study_status
from ablate.plan.job import Job
from ablate.store.commit import CommitRefused, commit
from ablate.store.declarations import declarations, declare
from ablate.store.doctor import examine
from ablate.store.files import write_json, write_sealed
from ablate.store.layout import ALWAYS_HASHED_BYTES, Store
from ablate.store.locks import Lock
from ablate.store.manifest import FileEntry, read_manifest
from ablate.store.workspace import Workspace
from ablate.tracking.events import RunFinished
from ablate.tracking.outbox import OUTBOX, Cursor, Outbox, read, tracking_folder


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store in which a study of five jobs has ended well."""
    store = Store(tmp_path_factory.mktemp("ran") / "store")
    assert run(store, study(1)).complete
    return store


@pytest.fixture
def store(ran: Store, tmp_path: Path) -> Store:
    subprocess.run(["cp", "-a", str(ran.root), str(tmp_path / "store")], check=True)
    return Store(tmp_path / "store")


def flips(data: bytes, *, every: int = 1) -> Iterator[bytes]:
    """Yield ``data`` with one bit flipped, for every n-th of its bits."""
    for number in range(0, 8 * len(data), every):
        place, bit = divmod(number, 8)
        yield data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]


def unfinished(store: Store, job: Job) -> Path:
    """Leave a job as a controller does that dies between the worker's end and the commit."""
    attempt = store.attempts(job.fingerprint)[-1]
    os.rename(store.artifact(job.stage, job.fingerprint), attempt.work)
    (attempt.work / "manifest.json").unlink()
    return attempt.folder


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_no_flipped_bit_of_a_manifest_gives_another_manifest(store: Store, tmp_path: Path) -> None:
    job, folder = pairs(), tmp_path / "copy"
    folder.mkdir()
    path = store.artifact(job.stage, job.fingerprint) / "manifest.json"
    true = read_manifest(path.parent)
    assert true is not None
    read_back = set()
    for data in flips(path.read_bytes(), every=13):
        (folder / "manifest.json").write_bytes(data)
        found = read_manifest(folder)
        read_back.add(None if found is None else found == true)
    assert read_back <= {None, True}


def test_no_flipped_bit_of_an_exit_record_gives_another_record(store: Store) -> None:
    attempt = store.attempts(pairs().fingerprint)[0]
    true, data = attempt.exit(), attempt.exit_file.read_bytes()
    assert true is not None and true["counts"] == {"preferences": 50}
    read_back = set()
    for changed in flips(data, every=13):
        attempt.exit_file.write_bytes(changed)
        found = attempt.exit()
        # Of a record whose seal has lost its name, the rest is what was written.
        same = found is not None and {key: found.get(key) for key in true} == true
        read_back.add(None if found is None else same)
    assert read_back <= {None, True}


def test_a_flipped_byte_in_a_manifest_costs_a_recompute(store: Store) -> None:
    before, job = contents(store), pairs()
    change(store.artifact(job.stage, job.fingerprint) / "manifest.json", '"counts"', '"kounts"')
    outcome = run(store, study(1))
    assert outcome.complete and outcome.count(JobState.DONE) == 1
    assert contents(store) == before


@pytest.mark.parametrize("size", [0, 100])
def test_a_torn_exit_record_of_a_dead_controllers_attempt_costs_a_recompute(
    store: Store, size: int
) -> None:
    before = contents(store)
    os.truncate(unfinished(store, pairs()) / "exit.json", size)
    assert run(store, study(1)).complete
    assert contents(store) == before and len(store.attempts(pairs().fingerprint)) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"stage": "preferences"', '"stage": "preferencer"'),
        ('"dataset": "plain"', '"dataset": "plaij"'),
        ('"config_class"', '"config_klass"'),
        (f'"fingerprint": "{pairs().fingerprint}"', f'"fingerprint": "{"0" * 16}"'),
    ],
)
def test_an_attempt_whose_request_was_changed_is_not_committed_and_runs_again(
    store: Store, old: str, new: str
) -> None:
    before = contents(store)
    folder = unfinished(store, pairs())
    change(folder / "request.json", old, new)
    with pytest.raises(CommitRefused, match=r"request\.json"):
        commit(store, store.attempts(pairs().fingerprint)[0])
    assert run(store, study(1)).complete
    assert contents(store) == before


def test_a_torn_heartbeat_of_a_job_that_runs_changes_nothing(store: Store, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = pairs("wait", location=str(gate))

    class Tearing(Listener):
        def job_started(self, job: Job, attempt: int) -> None:
            beat = store.attempts(job.fingerprint)[-1].heartbeat_file
            for text in ("", '{"pid": 1', "[]", "\0"):
                beat.write_text(text)
            gate.touch()

    assert run(store, [job], name="torn", listener=Tearing()).complete
    assert len(store.attempts(job.fingerprint)) == 1


def test_of_a_torn_verdict_the_workers_own_word_is_left(store: Store) -> None:
    job = pairs("diverge")
    assert run(store, [job]).failures
    attempt = store.attempts(job.fingerprint)[0]
    (attempt.folder / "verdict.json").write_text('{"kind": "non')
    kept = replace(OPTIONS, keep_failed=lambda job, failure: True)
    assert run(store, [job], options=kept).failures[job.fingerprint].kind == "non_finite_loss"
    assert len(store.attempts(job.fingerprint)) == 1
    attempt.exit_file.write_text("")  # Now nobody knows, so it is tried again.
    assert run(store, [job], options=kept).failures[job.fingerprint].kind == "non_finite_loss"
    assert len(store.attempts(job.fingerprint)) == 2


@pytest.mark.parametrize("name", ["plan.json", "status.json", "lease"])
@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"jobs": 7, "stages": [], "since": []}'])
def test_damaged_records_of_a_study_are_written_anew_by_the_next_run(
    store: Store, name: str, text: str
) -> None:
    path, before = store.study("toy") / name, contents(store)
    plan = json.loads((store.study("toy") / "plan.json").read_text())
    path.write_text(text)
    assert study_status(store, "toy").study == "toy"
    outcome = run(store, study(1))
    assert outcome.count(JobState.CACHED) == 5 and contents(store) == before
    assert study_status(store, "toy").state == "ended"
    assert json.loads((store.study("toy") / "plan.json").read_text()) == plan


@pytest.mark.parametrize("text", ["", "{}", '{"since": "x"}', "[1"])
def test_a_damaged_lease_still_keeps_a_second_controller_out(store: Store, text: str) -> None:
    lease = Lock(store.study("toy") / "lease")
    assert lease.acquire()
    lease.path.write_text(text)  # In place: the lock is the kernel's and not the text's.
    with pytest.raises(SurroundingsError, match="another controller runs it"):
        run(store, study(1))
    lease.release()
    assert run(store, study(1)).complete


@pytest.mark.parametrize("text", ["{", '{"jobs": [{"fingerprint": "x"}]}', "[]"])
def test_why_and_gc_name_a_damaged_plan_and_the_remedy(
    store: Store, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job, where = pairs(), ["--store", str(store.root)]
    runs = {
        "jobs": [{"stage": job.stage, "fingerprint": job.fingerprint, "kind": "", "size": 1.0,
                  "model": "", "inputs": {}}],
        "runs": [],
    }  # fmt: skip
    write_json(store.study("toy") / "runs.json", runs)
    path = store.study("toy") / "plan.json"
    path.write_text(text)
    assert main(["why", job.fingerprint, *where]) == 3
    said = capsys.readouterr().err
    assert str(path) in said and "ablate doctor --repair" in said
    if not text.startswith('{"jobs"'):  # A list of jobs it can read, and they need nothing.
        assert main(["gc", *where]) == 3
        said = capsys.readouterr().err
        assert str(path) in said and "ablate doctor --repair" in said


def enlarged(store: Store, job: Job) -> Path:
    """Let the artifact of a job be too large to be hashed each time; return its large file."""
    folder = store.artifact(job.stage, job.fingerprint)
    path = folder / "weights"
    with path.open("wb") as file:
        file.truncate(ALWAYS_HASHED_BYTES)
    digest = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True)
    entry = FileEntry(ALWAYS_HASHED_BYTES, digest.stdout.split()[0])
    manifest = read_manifest(folder)
    assert manifest is not None
    grown = replace(manifest, files={**manifest.files, "weights": entry})
    write_sealed(folder / "manifest.json", grown.as_json())
    return path


def test_a_flipped_byte_of_a_large_artifact_is_refused_by_its_reader_and_mended_by_doctor(
    store: Store,
) -> None:
    root = pairs()
    path = enlarged(store, root)
    reader = training("third", root)
    with path.open("r+b") as file:
        file.seek(ALWAYS_HASHED_BYTES // 2)
        file.write(b"\1")
    # Its size is right, so that it is taken for whole until somebody reads it.
    failure = run(store, [reader]).failures[reader.fingerprint]
    assert failure.kind == "surroundings" and str(path.parent) in failure.message
    assert "weights: other content than was written" in failure.message
    assert "ablate doctor --hashes --repair" in failure.message
    assert "damaged" not in [one.kind for one in examine(store)]
    (found,) = [one for one in examine(store, hashes=True) if one.kind == "damaged"]
    found.repair()
    assert found.mended and not path.exists()
    assert run(store, [reader, evaluation(reader)]).complete


def test_a_declaration_after_a_torn_one_is_kept(tmp_path: Path) -> None:
    declare(tmp_path, {"alpha": 0.05}, results=0, of=4)
    declare(tmp_path, {"alpha": 0.10}, results=2, of=4)
    path = tmp_path / "declared.jsonl"
    os.truncate(path, path.stat().st_size - 9)
    declare(tmp_path, {"alpha": 0.20}, results=3, of=4)
    assert [one.analysis["alpha"] for one in declarations(tmp_path)] == [0.05, 0.20]


@pytest.mark.parametrize("damage", [lambda line: line[:20], lambda line: b"\xff" + line[1:]])
def test_a_damaged_declaration_in_the_middle_costs_only_itself(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    for number in range(3):
        declare(tmp_path, {"alpha": number}, results=number, of=4)
    path = tmp_path / "declared.jsonl"
    lines = path.read_bytes().splitlines()
    lines[1] = damage(lines[1])
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert [one.analysis["alpha"] for one in declarations(tmp_path)] == [0, 2]


def test_a_torn_line_in_the_middle_of_an_outbox_costs_only_itself(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, "s")
    for number in range(3):
        outbox.append(RunFinished(f"{number}/0/k"))
    outbox.close()
    path = tracking_folder(tmp_path, "s") / OUTBOX
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:15] + b"\n" + lines[2])
    assert [entry.event.run for entry, _ in read(path, 0)] == ["0/0/k", "2/0/k"]
    again = Outbox(tmp_path, "s")  # The next controller tells what is missing.
    assert [again.append(RunFinished(f"{number}/0/k")) for number in range(3)] == [0, 1, 0]


def test_no_flipped_bit_of_a_cursor_passes_over_events(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path, "http://one")
    cursor.save(1234)
    data, found = cursor.path.read_bytes(), set()
    for changed in flips(data):
        cursor.path.write_bytes(changed)
        found.add(cursor.load())
    assert found == {0, 1234}  # 0 sends everything again, which adds nothing twice.


@pytest.mark.parametrize("last", ["", '{"event": "done", "exi', '{"event": "launch"}', "\0\0"])
def test_a_detached_run_whose_done_record_is_torn_is_called_crashed(
    store: Store, last: str
) -> None:
    gone = {"pid": 1, "start": "0", "boot": "another", "host": os.uname().nodename}
    launch = json.dumps({"event": "launch", "process": gone})
    (store.study("toy") / "run.log").write_text(f"{launch}\nsaid\n{last}")
    log = run_log(store, "toy")
    assert log is not None and log.done is None and log.crashed()


@pytest.fixture
def saved(tmp_path: Path) -> Workspace:
    """A job that has saved a checkpoint."""
    for name in ("output", "scratch"):
        (tmp_path / name).mkdir()
    made = Workspace("sft", training().config, {}, tmp_path / "output", tmp_path / "scratch")
    made.save_checkpoint({"weights": torch.arange(256.0)})
    return made


def test_no_flipped_byte_of_a_checkpoint_gives_other_weights(saved: Workspace) -> None:
    path = saved.scratch / "checkpoint.pt"
    data, found = path.read_bytes(), Counter[str]()
    draws = random.Random(0)
    for _ in range(400):
        place, bit = draws.randrange(len(data)), draws.randrange(8)
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :])
        state = saved.load_checkpoint()
        same = state is not None and torch.equal(state["weights"], torch.arange(256.0))
        found["none" if state is None else "same" if same else "other"] += 1
    # Bits between the records mean nothing; most are in the weights.
    assert found["other"] == 0 and found["none"] > 200


def test_a_torn_checkpoint_lets_a_job_start_from_the_beginning(saved: Workspace) -> None:
    os.truncate(saved.scratch / "checkpoint.pt", 700)
    assert saved.load_checkpoint() is None
