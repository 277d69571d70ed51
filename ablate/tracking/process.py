"""The sink's process, started and waited for without importing mlflow.

The controller only appends to the outbox. A separate process carries events to MLflow; when the
server is down it goes on trying, and what is left when the study ends is sent by the next `ablate
run` or `ablate report`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ablate.tracking.outbox import Cursor, tracking_folder

LOG = "sink.log"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    # A repeated request could make a run twice; the sink looks before it tries again.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Pending:
    """What MLflow does not have yet."""

    events: int
    destination: str
    """Tracking URI without credentials."""
    error: str | None = None
    """Why the last try stopped; None where nothing went wrong."""


@dataclass(frozen=True)
class SinkProcess:
    """A running sink that follows one study's outbox until it is closed."""

    process: subprocess.Popen[bytes]
    store: Path
    study: str

    def close(self, *, seconds: float = 10.0) -> Pending:
        """Ask for a last drain, wait at most ``seconds`` for it, and say what is left."""
        if self.process.stdin:
            self.process.stdin.close()
        # With nothing to send it may still be importing mlflow, which nobody should wait for.
        _wait(self.process, seconds if pending(self.store, self.study).events else 0.0)
        return pending(self.store, self.study)


def destination(store: Path) -> str:
    """Return the tracking URI: MLFLOW_TRACKING_URI, or a SQLite file in the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store.resolve()}/mlflow.db"


def start_sink(store: Path, study: str) -> SinkProcess:
    """Start a process that sends the study's events as they come; returns at once.

    It ends by itself when this process is gone, because its standard input closes.
    """
    return SinkProcess(_exec(store, study, "--follow"), store, study)


def drain(store: Path, study: str, *, seconds: float = 30.0) -> Pending:
    """Send what is pending, for at most ``seconds``, and say what is left."""
    before = pending(store, study)
    if before.events == 0:
        return before
    process = _exec(store, study, "--seconds", str(seconds))
    if process.stdin:
        process.stdin.close()
    _wait(process, seconds)
    return pending(store, study)


def pending(store: Path, study: str) -> Pending:
    """Say what is left to send, from files alone."""
    cursor = Cursor(tracking_folder(store, study), destination(store))
    events = cursor.pending()
    error = _read_error(error_path(cursor)) if events else None
    return Pending(events, without_credentials(cursor.destination), error)


def _read_error(path: Path) -> str | None:
    """Return why the last try stopped; None where there is nothing, or nothing whole yet."""
    try:
        error: str | None = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # The sink may remove or write it at this moment.
        return None
    return error


def error_path(cursor: Cursor) -> Path:
    """Return the file that holds why the last try stopped; it is absent when all went well."""
    return cursor.path.with_suffix(".error")


def without_credentials(uri: str) -> str:
    """Return a tracking URI that can be shown: user and password are left out."""
    scheme, separator, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def _exec(store: Path, study: str, *options: str) -> subprocess.Popen[bytes]:
    folder = tracking_folder(store, study)
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ablate.tracking.sink", str(store.resolve()), study, *options]
    # The user's own MLflow settings win, such as a longer timeout for a far server.
    environment = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20", **os.environ, **_ENVIRONMENT}
    with open(folder / LOG, "ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,  # Ctrl-C is the controller's to answer.
        )


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()  # Safe at any point: what was not confirmed is sent again.
        process.wait()
