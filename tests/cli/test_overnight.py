"""A study without a terminal: started, watched, steered and killed as a user would."""

import json
import os
import pty
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ablate.cli.main import main
from ablate.cli.steered import jobs_of
from ablate.cli.view import screen
from ablate.cli.watch_command import Watcher
from ablate.execution.status import study_status
from ablate.store.layout import Store
from ablate.store.locks import Lock

STUDY = """
study: night
base: {model: tiny-instruct}
rows: [base, sft]
baseline: sft
seeds: 1
grid: {dataset: [ai-fine], algorithm: [dpo]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    (tmp_path / "night.yaml").write_text(STUDY)
    return tmp_path


@pytest.fixture
def launched(folder: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[dict[str, Any]]:
    """The launch record of a detached study, which is killed in the end."""
    assert main(["run", "night.yaml", "--detach", "--track", "none", "--slots", "1"]) == 0
    record = json.loads(capsys.readouterr().out)
    yield record
    try:
        os.kill(record["pid"], signal.SIGKILL)
    except ProcessLookupError:
        pass


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(list(words))
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_a_detached_study_is_steered_from_elsewhere_and_its_crash_is_told(
    launched: dict[str, Any], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launched["event"] == "launch" and launched["study"] == "night"
    assert os.getsid(launched["pid"]) == launched["pid"]  # no terminal can take it along
    first = Path(launched["log"]).read_text().splitlines()[0]
    assert json.loads(first) == launched

    assert "it is paused" in said(capsys, "ctl", "pause")[1]
    assert "paused already" in said(capsys, "ctl", "night", "pause")[1]
    code, text = said(capsys, "ctl", "cancel", "ai-fine, dpo")
    assert code == 0 and "cancelled: " in text and "kept: sft-" in text
    assert "would be tried again" in said(capsys, "ctl", "retry", "--dry-run")[1]
    assert "slots: 2" in said(capsys, "ctl", "set", "slots=2", "until=90m")[1]
    assert said(capsys, "ctl", "cancel", "dpoo")[0] == 2
    refused = said(capsys, "run", "night.yaml", "--detach", "--track", "none")
    assert refused[0] == 3 and "has been running it since" in refused[1]
    for _ in range(1_000):
        code, view = said(capsys, "watch", "--once")
        if "paused" in view:
            break
        time.sleep(0.01)
    assert code == 0 and "until" in view and "slots 2" in view and "fail" in view
    assert "until" in said(capsys, "status")[1]

    os.kill(launched["pid"], signal.SIGKILL)
    for _ in range(6_000):
        code, text = said(capsys, "status")
        if "interrupted" in text:
            break
        time.sleep(0.01)
    assert "crashed, without a done record" in text
    assert said(capsys, "watch")[0] == 3
    code, text = said(capsys, "ctl", "resume")
    assert code == 3 and "no controller runs it" in text


def test_a_study_that_cannot_start_says_so_on_the_callers_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "night.yaml").write_text(STUDY.replace("grid: {dataset", "grud: {dataset"))
    found, text = said(capsys, "run", "night.yaml", "--detach")
    assert found == 2 and "night.yaml:7:1" in text
    assert not (folder / "store").exists()


def stored(folder: Path, state: str) -> None:
    """Write what a controller of this process leaves of a study with a failed and a done job."""
    study = Store(folder / "store").study("night")
    study.mkdir(parents=True)
    row = {"stage": "sft", "fingerprint": "bb22", "kind": "bug", "message": "no"}
    jobs = [
        {"stage": stage, "fingerprint": name, "kind": stage, "size": 1, "model": ""}
        for stage, name in (("model", "aa11"), ("sft", "bb22"))
    ]
    runs = [
        {"cell": cell, "seed": 0, "jobs": {"m": job}}
        for cell, job in (("x", "aa11"), ("ü, y", "bb22"))
    ]
    status = {"state": state, "updated": time.time() + 10, "took": {"aa11": 2.0}, "failed": [row]}
    (study / "plan.json").write_text("{}")
    (study / "runs.json").write_text(json.dumps({"jobs": jobs, "runs": runs}))
    (study / "status.json").write_text(json.dumps(status))


def on_terminal(*words: str) -> tuple[int, str]:
    """Run `ablate` on a terminal of its own; return exit code and all that it wrote."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(sys.executable, [sys.executable, "-m", "ablate", *words])
    parts = []
    while True:
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:  # Linux's word for a terminal that nobody holds any more
            break
        if not part:
            break
        parts.append(part)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), b"".join(parts).decode()


def test_a_view_of_an_ended_study_gives_the_terminal_back_and_ends(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(folder, "ended")
    code, text = on_terminal("watch", "night")
    assert code == 4  # some jobs failed
    live, _, left = text.partition("\033[?25h\033[?1049l")
    assert live.startswith("\033[?1049h\033[?25l") and "1/2 jobs" in live
    # What it last showed stays on the terminal, without a code that moves anything.
    assert "failed: sft-bb22 of ü, y" in left and "\033" not in left


def test_a_view_fits_every_width_and_tells_a_failure_with_its_log(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(folder, "ended")
    store = Store(folder / "store")
    view = Watcher(store, "night").look()
    for width in (1, 20, 40, 300):
        for height in (1, 5, 24):
            lines = screen(view, width=width, height=height)
            assert len(lines) <= height and max(map(len, lines)) <= width
    assert jobs_of(store, "night").cells.keys() == {"x", "ü, y"}


def test_into_a_pipe_go_plain_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored(folder, "ended")
    capsys.readouterr()
    code, text = said(capsys, "watch")
    assert code == 4 and "\033" not in text
    assert text.splitlines()[0] == "study night: ended"
    assert "failed: sft-bb22 of ü, y, seed 0: bug: no" in text


def test_a_controller_that_just_started_is_not_taken_for_the_one_that_ended(folder: Path) -> None:
    stored(folder, "ended")
    store = Store(folder / "store")
    path = store.study("night") / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "updated": time.time() - 10}))
    lease = Lock(store.study("night") / "lease")
    assert lease.acquire()
    assert study_status(store, "night").state == "running"
    lease.release()
