"""End this process when the one that started it goes: for workers that are not forked."""

from __future__ import annotations

import os
import signal
import threading

from ablate.execution.linux import die_with_parent

LIFELINE = "ABLATE_LIFELINE"
"""Environment variable with ``<parent pid>:<descriptor>`` of a pipe only the parent writes to."""


def hold_lifeline() -> None:
    """Kill this process and its children as soon as the parent is gone.

    A pipe's end of file works on every Unix; on Linux the kernel's own signal comes first.
    Without the environment variable (a worker started by hand) nothing happens.
    """
    parent, _, descriptor = os.environ.pop(LIFELINE, "").partition(":")
    if not descriptor:
        return
    pipe = int(descriptor)
    os.set_inheritable(pipe, False)
    die_with_parent(signal.SIGKILL, int(parent))
    threading.Thread(target=_watch, args=(pipe,), name="lifeline", daemon=True).start()


def _watch(pipe: int) -> None:
    os.read(pipe, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)
