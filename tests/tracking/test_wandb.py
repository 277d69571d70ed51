"""W&B without a network, and what never goes into a run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ablate.errors import SurroundingsError
from ablate.tracking.events import RunFinished
from ablate.tracking.outbox import Outbox
from ablate.tracking.process import Pending, drain, log_path, pending, start_sink
from ablate.tracking.targets import wandb_mode

from .small_study import RUNS, committed, started
from .views import in_wandb, wandb_records

PATIENCE_SECONDS = 300.0


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))


class Trap:
    """A server that any connection would reach, and that counts them."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()


@dataclass(frozen=True)
class Sent:
    """A store whose events were sent offline, beside a trap for every connection."""

    store: Path
    connections: int
    left: list[Pending]


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    store, trap = tmp_path_factory.mktemp("sent"), Trap()
    tell_one_run(store)
    with pytest.MonkeyPatch.context() as patch:
        # Either proxy is taken for whatever would be sent: metrics, telemetry, crash reports.
        for name in ("WANDB_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            patch.setenv(name, trap.url)
        patch.setenv("WANDB_MODE", "offline")
        left = drain(store, "s", ["wandb"], seconds=PATIENCE_SECONDS)
    trap.socket.close()
    return Sent(store, trap.connections, left)


def tell_one_run(store: Path) -> None:
    folder = store / "artifacts" / "policy" / "bbb0"
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text('{"step": 1, "_odd": 2.0}\n')
    outbox = Outbox(store, "s")
    job = committed("policy", "bbb0", "artifacts/policy/bbb0", 0)
    for event in (started(0), job, RunFinished(RUNS[0])):
        outbox.append(event)
    outbox.close()


def test_offline_nothing_is_connected_to_and_no_process_stays(sent: Sent) -> None:
    assert (sent.left, sent.connections) == ([], 0)
    assert in_wandb(sent.store).ended == {0: True}
    assert services_of(sent.store) == []


def test_a_killed_sink_leaves_no_process_behind(tmp_path: Path) -> None:
    store = tmp_path / "store"
    tell_one_run(store)
    sink = start_sink(store, "s", "wandb")
    wait_for(lambda: services_of(store) != [])
    os.kill(sink.process.pid, signal.SIGKILL)
    sink.process.wait()
    sink.end()
    wait_for(lambda: services_of(store) == [])


def services_of(store: Path) -> list[int]:
    """W&B services that write their cache into this store."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"wandb-core" in (entry / "cmdline").read_bytes():
                if str(store).encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        except OSError:
            continue
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition never came true")
        time.sleep(0.02)


def test_a_run_says_nothing_of_machine_code_or_packages(sent: Sent) -> None:
    for folder in (sent.store / "wandb" / "s").glob("offline-run-*"):
        assert {path.name for path in folder.rglob("*") if path.is_file()} == {
            "ablate-digest",
            f"run-{folder.name.rpartition('-')[2]}.wandb",
        }
        kinds = {record["type"] for record in wandb_records(folder)}
        assert kinds <= {"header", "run", "telemetry", "summary", "history", "exit"}
        run = next(r["run"] for r in wandb_records(folder) if r["type"] == "run")
        assert not run.keys() & {"host", "git", "settings"}


def test_a_metric_with_a_leading_underscore_keeps_out_of_the_tracker_s_own(sent: Sent) -> None:
    assert in_wandb(sent.store).jobs["bbb0"] == {"metric_odd": [(1, 2.0)]}


def test_a_server_that_is_down_keeps_everything_pending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    store = tmp_path / "store"
    tell_one_run(store)
    assert wandb_mode() == "online"
    (left,) = drain(store, "s", ["wandb", "tensorboard"], seconds=6.0)
    assert left.events == 2 and left.destination == f"http://127.0.0.1:{port}/ablate"
    assert pending(store, "s", "tensorboard").events == 0
    assert "0123456789" not in log_path(store, "s", "wandb").read_text()


@pytest.mark.parametrize(("variable", "mode"), [("WANDB_API_KEY", "online"), (None, "offline")])
def test_it_is_online_where_a_key_is_configured(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, mode: str
) -> None:
    if variable:
        monkeypatch.setenv(variable, "0" * 40)
    assert wandb_mode() == mode
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert wandb_mode() == "offline"


def test_a_key_in_the_netrc_file_counts_for_the_configured_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine wandb.example:80 login user password 0123\n")
    assert wandb_mode() == "offline"
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "settings").write_text("[default]\nbase_url = http://wandb.example:80\n")
    assert wandb_mode() == "online"


def test_a_mode_that_sends_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(SurroundingsError, match="'disabled'; it is online or offline"):
        wandb_mode()


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_tracker_s_process_imports_no_other_tracker_and_no_torch(name: str) -> None:
    code = (
        "import sys, importlib; from ablate.tracking.trackers import CLASSES;"
        "importlib.import_module(CLASSES[sys.argv[1]].partition(':')[0]);"
        "print(*sorted({'torch', 'tensorflow', 'mlflow', 'tensorboard', 'wandb'} & {*sys.modules}))"
    )
    command = [sys.executable, "-c", code, name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [name]
