"""The user's command for events: told what happened, never in the way, never a shell."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from toy_study import pairs

from ablate.errors import StudyError
from ablate.execution.failures import Failure, FailureClass
from ablate.execution.hooks import MOST_BEHIND, EventHook, QueuedHook

KEEP = (
    "import os, sys; "
    "open(sys.argv[1], 'a').write(os.environ['ABLATE_EVENT'] + ' ' + sys.stdin.read())"
)
BUG = Failure(FailureClass.BUG, "no; $(touch hacked) `touch hacked` \"'")


def hook(folder: Path, code: str = KEEP, **options: Any) -> EventHook:
    command = f'{sys.executable} -S -c "{code}" "{folder / "the events"}"'
    return EventHook(command, study="toy", store=folder / "store", **options)


def told(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    lines = (folder / "the events").read_text().splitlines()
    return [(line.partition(" ")[0], json.loads(line.partition(" ")[2])) for line in lines]


def test_a_command_is_told_of_what_a_user_would_wake_up_for(tmp_path: Path) -> None:
    job = pairs()
    queued = QueuedHook(hook(tmp_path, cells=lambda job: ["dpo"]))
    queued.send("study_started", pid=1)
    queued.study_state("running", "")
    queued.job_failed(job, BUG, attempt=1, retried=True)
    queued.job_failed(job, BUG, attempt=2, retried=False)
    queued.study_state("draining", "the budget is spent")
    queued.end(exit_code=4)
    events = told(tmp_path)
    # A job that is tried again is no reason to wake up, nor is a study that simply runs.
    names = ["study_started", "job_failed", "study_draining", "study_ended"]
    assert [name for name, _ in events] == [record["event"] for _, record in events] == names
    failed = events[1][1]
    assert failed["job"] == f"preferences-{job.fingerprint}" and failed["cells"] == ["dpo"]
    assert (failed["kind"], failed["message"], failed["attempt"]) == ("bug", BUG.message, 2)
    assert events[2][1]["reason"] == "the budget is spent" and events[3][1]["exit_code"] == 4


def test_nothing_of_a_study_reaches_a_shell(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    queued = QueuedHook(hook(tmp_path))
    queued.job_failed(pairs(), BUG, attempt=1, retried=False)
    queued.end()
    assert told(tmp_path)[0][1]["message"] == BUG.message
    assert [path.name for path in tmp_path.iterdir()] == ["the events"]


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import sys; sys.exit('no bell here')", "ended with status 1: no bell here"),
        ("import time; time.sleep(600)", "killed after 1 s"),
    ],
)
def test_a_command_that_fails_is_complained_about_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: str, problem: str
) -> None:
    broken = hook(tmp_path, code, seconds=1.0)
    broken.send("study_started")
    broken.send("study_ended")
    assert len(caplog.records) == 1 and problem in caplog.text


def test_a_command_that_leaves_a_child_behind_is_not_waited_for(tmp_path: Path) -> None:
    sleep = "'import time; time.sleep(20)'"
    child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleep}])"
    behind = hook(tmp_path, child, seconds=600.0)
    behind.send("study_started")  # would not come back before the child does


@pytest.mark.parametrize("command", ["", "  ", "say 'hello"])
def test_a_command_that_is_none_is_refused(tmp_path: Path, command: str) -> None:
    with pytest.raises(StudyError, match="^--on-event: "):
        EventHook(command, study="toy", store=tmp_path)


def test_a_missing_program_is_said_and_the_study_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    EventHook("no-such-program-here", study="toy", store=tmp_path).send("study_started")
    assert "cannot be run" in caplog.text


def test_of_a_flood_of_failures_the_number_is_told(tmp_path: Path) -> None:
    flooded = hook(tmp_path)
    waiting = iter([MOST_BEHIND + 1, MOST_BEHIND + 2, 0])
    flooded.behind = lambda: next(waiting)
    for _ in range(3):
        flooded.job_failed(pairs(), BUG, attempt=1, retried=False)
    assert [record["untold_failures"] for _, record in told(tmp_path)] == [2]
