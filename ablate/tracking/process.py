"""The sinks' processes, started and waited for without importing a tracker.

The controller only appends to the outbox. A process per destination carries events there, so that
one that is down holds up no other; it goes on trying, and what is left when the study ends is sent
by the next `ablate run` or `ablate report`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablate.tracking.outbox import Cursor, tracking_folder
from ablate.tracking.targets import target

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    # A repeated request could make a run twice; the sink looks before it tries again.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
}
_WANDB_KEPT = {
    *("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_CONFIG_DIR", "WANDB_CREDENTIALS_FILE"),
    *("WANDB_ENTITY", "WANDB_HTTP_PROXY", "WANDB_HTTPS_PROXY", "WANDB_IDENTITY_TOKEN_FILE"),
    *("WANDB_INSECURE_DISABLE_SSL", "WANDB_MODE", "WANDB_PROJECT"),
}
"""Where and as whom to send. The others, such as WANDB_RUN_ID, are about a user's own runs."""


@dataclass(frozen=True)
class Pending:
    """What a destination does not have yet."""

    events: int
    destination: str
    """Its address without credentials."""
    error: str | None = None
    """Why the last try stopped; None where nothing went wrong."""


@dataclass(frozen=True)
class SinkProcess:
    """A running sink that follows one study's outbox until it is closed."""

    process: subprocess.Popen[bytes]
    store: Path
    study: str
    name: str

    def end(self) -> None:
        """Ask for a last drain; returns at once."""
        if self.process.stdin:
            self.process.stdin.close()

    def close(self, *, seconds: float = 10.0) -> Pending:
        """Ask for a last drain, wait at most ``seconds`` for it, and say what is left."""
        self.end()
        # With nothing to send it may still be importing mlflow, which nobody should wait for.
        left = pending(self.store, self.study, self.name)
        _wait(self.process, seconds if left.events else 0.0)
        return pending(self.store, self.study, self.name)


@dataclass
class Sinks:
    """One study's sinks, started when there is something to send."""

    store: Path
    study: str
    names: Sequence[str]
    _running: list[SinkProcess] = field(default_factory=list)
    _awake: bool = False

    @property
    def running(self) -> int:
        """How many processes were started."""
        return len(self._running)

    def wake(self) -> None:
        """Start the processes where they are not started yet; returns at once."""
        if not self._awake:
            self._awake = True
            self._running = [start_sink(self.store, self.study, name) for name in self.names]

    def close(self, *, seconds: float) -> list[Pending]:
        """Ask for a last drain, wait at most ``seconds`` for all, and say where something is left.

        What an earlier call could not send is tried again as well.
        """
        if any(pending(self.store, self.study, name).events for name in self.names):
            self.wake()
        deadline = time.monotonic() + seconds
        for sink in self._running:
            sink.end()
        left = [sink.close(seconds=max(0.0, deadline - time.monotonic())) for sink in self._running]
        return [found for found in left if found.events]


def start_sink(store: Path, study: str, name: str = "mlflow") -> SinkProcess:
    """Start a process that sends the study's events as they come; returns at once.

    It ends by itself when this process is gone, because its standard input closes.
    """
    return SinkProcess(_exec(store, study, name, "--follow"), store, study, name)


def drain(
    store: Path, study: str, names: Sequence[str] = ("mlflow",), *, seconds: float = 30.0
) -> list[Pending]:
    """Send what is pending, for at most ``seconds``, and say where something is left."""
    late = [name for name in names if pending(store, study, name).events]
    deadline = time.monotonic() + seconds
    running = [_exec(store, study, name, "--seconds", str(seconds)) for name in late]
    for process in running:
        if process.stdin:
            process.stdin.close()
    for process in running:
        _wait(process, max(0.0, deadline - time.monotonic()))
    left = [pending(store, study, name) for name in late]
    return [found for found in left if found.events]


def pending(store: Path, study: str, name: str = "mlflow") -> Pending:
    """Say what is left to send to a destination, from files alone."""
    to = target(name, store, study)
    cursor = to.cursor(store, study)
    events = cursor.pending()
    error = _read_error(error_path(cursor)) if events else None
    return Pending(events, to.shown, error)


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


def log_path(store: Path, study: str, name: str) -> Path:
    """Return the file that a destination's sink writes its log to."""
    return tracking_folder(store, study) / f"{name}.log"


def _exec(store: Path, study: str, name: str, *options: str) -> subprocess.Popen[bytes]:
    log = log_path(store, study, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ablate.tracking.sink", str(store.resolve()), study]
    with open(log, "ab") as output:
        return subprocess.Popen(
            [*command, "--to", name, *options],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=_environment(store),
            start_new_session=True,  # Ctrl-C is the controller's to answer.
        )


def _environment(store: Path) -> dict[str, str]:
    """Return this process's environment with every telemetry off.

    The user's own MLflow settings win, such as a longer timeout for a far server.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("WANDB_") or name in _WANDB_KEPT
    }
    cache = {"WANDB_CACHE_DIR": str(store.resolve() / "wandb" / ".cache")}
    return {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20", **kept, **cache, **_ENVIRONMENT}


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()  # Safe at any point: what was not confirmed is sent again.
        process.wait()
