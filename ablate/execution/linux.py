"""The few calls that make a child die with its parent, and tell how many threads there are."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""From <sys/prctl.h>."""


def die_with_parent(signal_number: int, parent: int) -> None:
    """Have the kernel send ``signal_number`` to this process when its parent's thread ends.

    Exits at once if the parent ``parent`` is gone already: its death sends nothing any more.
    Without effect outside Linux.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def thread_names() -> list[str]:
    """Return the name of every thread the operating system runs for this process."""
    tasks = Path("/proc/self/task")
    return sorted((tasks / task / "comm").read_text().strip() for task in os.listdir(tasks))


def out_of_memory_kills() -> int | None:
    """Return how many processes the kernel killed for memory since boot; None if unknown."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return None
    counts = [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
    return counts[0] if counts else None
