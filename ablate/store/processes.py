"""Which process is meant, safe against process ids that are used again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessId:
    """One process for all time: a bare pid is used again after a while."""

    pid: int
    start: str
    """When it started, in the system's own words (clock ticks since boot on Linux)."""
    boot: str
    """Which boot of the machine."""
    host: str
    """Which machine."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields for a JSON file."""
        return asdict(self)


def process_id(record: Mapping[str, Any] | None) -> ProcessId | None:
    """Read a record that `ProcessId.as_json` made; None where it is missing or incomplete."""
    try:
        return ProcessId(**{k: record[k] for k in ("pid", "start", "boot", "host")})  # type: ignore[index]
    except (KeyError, TypeError):
        return None


def this_process() -> ProcessId:
    """Identify the calling process."""
    pid = os.getpid()
    return ProcessId(pid, _start_and_state(pid)[0], _boot(), _host())


def identify(pid: int) -> ProcessId:
    """Identify a process of this machine; ``start`` is empty if it is gone."""
    return ProcessId(pid, _start_and_state(pid)[0], _boot(), _host())


def is_alive(process: ProcessId) -> bool | None:
    """Tell whether ``process`` still runs; None for another machine's, which cannot be seen.

    A process that ended and was not reaped by its parent counts as gone: it runs no more code.
    """
    if process.host != _host():
        return None
    if process.boot != _boot():
        return False
    start, state = _start_and_state(process.pid)
    return start == process.start and start != "" and state not in {"Z", "X"}


def kill_session(process: ProcessId, *, patience_seconds: float = 10.0) -> bool:
    """Kill ``process`` and the group it leads; True once it is gone."""
    deadline = time.monotonic() + patience_seconds
    while is_alive(process):
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError, PermissionError):
                kill(process.pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return is_alive(process) is False


def _start_and_state(pid: int) -> tuple[str, str]:
    """Return start time and state letter, both empty for a process that does not exist."""
    if sys.platform == "linux":
        try:
            stat = (PROC / str(pid) / "stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return "", ""
        # The name in parentheses may hold spaces and parentheses; state is the field after it,
        # the start time the 22nd of all (proc_pid_stat(5)).
        fields = stat.rpartition(")")[2].split()
        return fields[19], fields[0]
    command = ["ps", "-o", "lstart=,stat=", "-p", str(pid)]
    words = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return (" ".join(words[:-1]), words[-1][0]) if words else ("", "")


@cache
def _boot() -> str:
    path = PROC / "sys/kernel/random/boot_id"
    return path.read_text().strip() if path.exists() else ""


@cache
def _host() -> str:
    return socket.gethostname()
