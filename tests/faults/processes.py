"""Finding the processes of a study, by what they were started with; Linux only."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

PROC = Path("/proc")


def text(pid: int, name: str) -> bytes:
    """Return a file of /proc; empty if the process is gone."""
    try:
        return (PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""


def marked(mark: str) -> list[int]:
    """Return the processes that were started with ``mark`` in their environment and live."""
    pids = (int(folder.name) for folder in PROC.iterdir() if folder.name.isdigit())
    return [pid for pid in pids if mark.encode() in text(pid, "environ") and _state(pid) != "Z"]


def children(pid: int) -> list[int]:
    """Return the children of a process, whichever of its threads started them."""
    found: list[int] = []
    tasks = PROC / str(pid) / "task"
    for task in os.listdir(tasks) if tasks.exists() else []:
        found += [int(word) for word in text(pid, f"task/{task}/children").split()]
    return found


def command(pid: int) -> str:
    """Return a process's command line, words separated by blanks."""
    return text(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def kill(pid: int) -> bool:
    """Send SIGKILL; False if the process was gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def wait_gone(mark: str, *, seconds: float) -> list[int]:
    """Wait until no process with ``mark`` is left; return, killed, those that stayed."""
    end = time.monotonic() + seconds
    while (left := marked(mark)) and time.monotonic() < end:
        time.sleep(0.02)
    for pid in left:
        kill(pid)
    return left


def _state(pid: int) -> str:
    """Return the letter of a process's state; empty if it is gone."""
    fields = text(pid, "stat").rpartition(b")")[2].split()
    return fields[0].decode() if fields else ""
