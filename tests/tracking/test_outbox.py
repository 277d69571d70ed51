from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ablate.tracking.events import (
    Event,
    JobCommitted,
    Recorded,
    RunFailed,
    RunFinished,
    RunStarted,
    from_line,
    run_key,
    to_line,
)
from ablate.tracking.outbox import OUTBOX, Cursor, Outbox, read, tracking_folder

RUN = RunStarted("a/0/k", "a", 0, {"policy": {"beta": 0.1}})
JOB = JobCommitted("sft", "f1", 1, "artifacts/sft/f1", "m.json", {}, {"model": "f0"}, ("a/0/k",))
FAILED = RunFailed("a/0/k", "policy", "out_of_memory", "no room")


def events_of(store: Path) -> list[object]:
    return [entry.event for entry, _ in read(tracking_folder(store, "s") / OUTBOX, 0)]


@pytest.mark.parametrize("event", [RUN, JOB, FAILED, RunFinished("a/0/k")])
def test_every_event_survives_its_line(event: RunStarted) -> None:
    assert from_line(to_line(Recorded(7, event))) == Recorded(7, event)


def test_events_come_back_in_order(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, "s")
    for event in (RUN, JOB, FAILED):
        assert outbox.append(event)
    outbox.close()
    assert events_of(tmp_path) == [RUN, JOB, FAILED]


def test_telling_everything_again_adds_nothing(tmp_path: Path) -> None:
    first = Outbox(tmp_path, "s")
    assert first.append(RUN) and first.append(JOB)
    again = Outbox(tmp_path, "s")
    assert not again.append(RUN) and not again.append(JOB)
    assert events_of(tmp_path) == [RUN, JOB]


def test_a_run_that_fails_then_finishes_then_fails_is_told_three_times(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, "s")
    story: list[Event] = [FAILED, RunFinished("a/0/k"), FAILED]
    assert [outbox.append(event) for event in story] == [True, True, True]


def test_a_line_torn_by_a_crash_costs_only_itself(tmp_path: Path) -> None:
    Outbox(tmp_path, "s").append(RUN)
    path = tracking_folder(tmp_path, "s") / OUTBOX
    with open(path, "ab") as file:
        file.write(to_line(Recorded(1, JOB)).encode()[:40])
    assert events_of(tmp_path) == [RUN]
    Outbox(tmp_path, "s").append(FAILED)
    assert events_of(tmp_path) == [RUN, FAILED]


def test_an_event_of_a_newer_version_is_passed_over() -> None:
    assert from_line('{"event": "run_praised", "time_ms": 1, "run": "a"}\n') is None
    assert from_line('{"event": "run_finished", "time_ms": 1, "run": "a", "mood": 1}\n') is None
    assert from_line("[1, 2]\n") is None


def test_a_number_without_a_json_form_is_refused_where_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Outbox(tmp_path, "s").append(RunStarted("a/0/k", "a", 0, {"beta": float("nan")}))


def test_each_destination_has_its_own_cursor_and_no_password_on_disk(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, "s")
    outbox.append(RUN)
    outbox.append(JOB)
    folder = tracking_folder(tmp_path, "s")
    first, second = Cursor(folder, "http://me:secret@one"), Cursor(folder, "http://two")
    offsets = [offset for _, offset in read(folder / OUTBOX, 0)]
    first.save(offsets[0])
    assert (first.pending(), second.pending()) == (1, 2)
    assert not any("secret" in path.read_text() + path.name for path in folder.iterdir())


def test_an_unreadable_cursor_starts_again(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path, "http://one")
    cursor.path.write_text("{")
    assert cursor.load() == 0


def test_an_edited_study_makes_new_runs_and_order_does_not() -> None:
    assert run_key("a", 0, ["x", "y"]) == run_key("a", 0, ["y", "x", "x"])
    assert run_key("a", 0, ["x", "y"]) != run_key("a", 0, ["x", "z"])


def test_the_controller_side_imports_no_mlflow() -> None:
    code = "import ablate.tracking.process, sys; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
