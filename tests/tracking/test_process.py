"""The sink as users get it: a process of its own, against a real server that is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ablate.tracking.events import Event, RunFinished
from ablate.tracking.outbox import Outbox, tracking_folder
from ablate.tracking.process import drain, error_path, pending, start_sink
from ablate.tracking.sink import lock_path, locked
from ablate.tracking.targets import target, without_credentials

from .small_study import RUNS, committed, started

Write = Callable[..., str]
PATIENCE_SECONDS = 300.0


@dataclass
class Server:
    """An MLflow server on the loopback interface that can be killed and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        files = [f"--backend-store-uri=sqlite:///{self.folder}/mlflow.db"]
        files += [f"--artifacts-destination={self.folder}/files"]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *options, *files],
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        wait_for(self.answers)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition never came true")
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def server(store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    folder = store.parent / "server"
    folder.mkdir()
    (store / "mlflow.db").rename(folder / "mlflow.db")
    server = Server(folder, free_port())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    yield server
    server.kill()


def tell(store: Path, *events: Event) -> None:
    outbox = Outbox(store, "s")
    for event in events:
        outbox.append(event)
    outbox.close()


def test_everything_arrives_once_through_a_server_that_is_killed_midway(
    store: Path, artifact: Write, server: Server
) -> None:
    lines = [{"step": step, "loss": 1.0 / step} for step in range(1, 51)]
    folders = {n: artifact("policy", f"bbb{n}", metrics=lines) for n in range(12)}
    tell(store, started(0), started(1))
    sink = start_sink(store, "s")
    for number, folder in folders.items():
        tell(store, committed("policy", f"bbb{number}", folder, 0))
    tell(store, RunFinished(RUNS[0]))
    server.start()
    wait_for(lambda: pending(store, "s").events < 13)
    server.kill()
    assert sink.close(seconds=PATIENCE_SECONDS).events == pending(store, "s").events

    server.start()
    assert drain(store, "s", seconds=PATIENCE_SECONDS) == []
    assert pending(store, "s").error is None
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("s")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 14
    jobs = [run for run in runs if "ablate.stage" in run.data.tags]
    for job in jobs:
        history = client.get_metric_history(job.info.run_id, "loss")
        assert sorted(row.step for row in history) == list(range(1, 51))
        listed = client.list_artifacts(job.info.run_id)
        assert [entry.path for entry in listed] == ["manifest.json"]
    assert {run.info.status for run in runs} == {"FINISHED", "RUNNING"}


def test_a_server_that_is_down_leaves_everything_pending_and_says_so(
    store: Path, server: Server
) -> None:
    tell(store, started(0), started(1))
    (left,) = drain(store, "s", seconds=PATIENCE_SECONDS)
    assert left.events == 2 and left.destination == server.uri
    assert left.error is not None and "Connection refused" in left.error


def test_a_server_that_accepts_and_never_answers_costs_no_more_than_the_deadline(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        tell(store, started(0))
        assert [left.events for left in drain(store, "s", seconds=1.0)] == [1]


def test_what_was_missed_is_sent_to_the_default_database_next_time(store: Path) -> None:
    tell(store, started(0))
    assert pending(store, "s").events == 1
    assert drain(store, "s", seconds=PATIENCE_SECONDS) == []
    client = MlflowClient(target("mlflow", store, "s").address)
    experiment = client.get_experiment_by_name("s")
    assert len(client.search_runs([experiment.experiment_id])) == 1
    assert experiment.artifact_location.startswith((store / "mlflow-artifacts").as_uri())


def test_a_sink_ends_with_the_process_that_started_it(store: Path) -> None:
    code = (
        "import sys, time, pathlib; from ablate.tracking.process import start_sink;"
        "print(start_sink(pathlib.Path(sys.argv[1]), 's').process.pid, flush=True); time.sleep(600)"
    )
    tell(store, started(0))
    command = [sys.executable, "-c", code, str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    wait_for(lambda: has_ended(child))
    assert pending(store, "s").events == 0


def has_ended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_a_second_sink_of_a_study_ends_when_it_is_closed(store: Path) -> None:
    tell(store, started(0))
    with locked(lock_path(tracking_folder(store, "s"), "mlflow")) as first:
        second = start_sink(store, "s")
        left = second.close(seconds=PATIENCE_SECONDS)
    assert first and left.events == 1 and second.process.returncode == 1


def test_a_sink_with_nothing_to_send_is_not_waited_for(store: Path) -> None:
    sink = start_sink(store, "s")
    assert sink.close(seconds=PATIENCE_SECONDS).events == 0
    assert sink.process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("torn", ["", '"half'])
def test_a_reason_that_is_just_being_written_is_no_reason_yet(store: Path, torn: str) -> None:
    tell(store, started(0))
    cursor = target("mlflow", store, "s").cursor(store, "s")
    error_path(cursor).write_text(torn, encoding="utf-8")
    assert (pending(store, "s").events, pending(store, "s").error) == (1, None)


def test_nothing_pending_starts_no_process(store: Path) -> None:
    assert drain(store, "s") == []
    assert not (store / "studies").exists()


def test_a_password_in_the_address_is_never_shown() -> None:
    assert without_credentials("https://me:secret@host:5000/a") == "https://host:5000/a"
    assert without_credentials("sqlite:////a/b@c.db") == "sqlite:////a/b@c.db"
