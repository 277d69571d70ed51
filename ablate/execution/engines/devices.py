"""Which accelerators this machine lends, without importing what would start them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine_memory() -> float | None:
    """Return the bytes of memory of this machine, or of its control group; None if unknown."""
    found = []
    try:
        found.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
        # A container's own limit; the word `max` stands for none.
        found.append(float(CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):
        pass
    return min(found, default=None)


def available_devices() -> tuple[str, ...]:
    """Return the names of the accelerators, as CUDA_VISIBLE_DEVICES takes them.

    The variable narrows the choice where it is set; empty means none.
    """
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return tuple(name.strip() for name in allowed.split(",") if name.strip() not in ("", "-1"))
    return tuple(row[0] for row in _ask_driver("index"))


def device_memory() -> dict[str, float]:
    """Return the bytes of each accelerator of the driver's by name; empty where it does not say."""
    rows = _ask_driver("index,memory.total")
    return {row[0]: float(row[1]) * 2**20 for row in rows if row[-1].replace(".", "").isdigit()}


def _ask_driver(query: str) -> list[list[str]]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={query}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return []
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return [[field.strip() for field in line.split(",")] for line in lines if line.strip()]
