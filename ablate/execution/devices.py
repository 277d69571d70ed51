"""Which accelerators this machine lends, without importing what would start them."""

from __future__ import annotations

import os
import shutil
import subprocess


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_devices() -> tuple[str, ...]:
    """Return the names of the accelerators, as CUDA_VISIBLE_DEVICES takes them.

    The variable narrows the choice where it is set; empty means none.
    """
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return tuple(name.strip() for name in allowed.split(",") if name.strip() not in ("", "-1"))
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    command = [program, "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return ()
    return tuple(done.stdout.split()) if done.returncode == 0 else ()
