"""A sink that is killed at a chosen moment of its own work, not of the clock."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from ablate.tracking.sink import Sink
from ablate.tracking.targets import target


def drained_until(store: Path, name: str, *, calls: int | None) -> tuple[bool, int]:
    """Send what is pending in a process of its own that kills itself after so many calls.

    Returns whether it got to its end, and how many Python calls it made until then.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            made = _drain(store, name, calls)
            os.write(writing, str(made).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as answer:
        made = int(answer.read() or 0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False, made
    assert os.waitstatus_to_exitcode(status) == 0
    return True, made


def _drain(store: Path, name: str, calls: int | None) -> int:
    made = 0

    def count(_frame: Any, _event: str, _argument: Any) -> None:
        nonlocal made
        made += 1
        if made == calls:
            os.kill(os.getpid(), signal.SIGKILL)

    sink = Sink(store, "s", target(name, store, "s"))
    sys.setprofile(count)
    failed = sink.drain(deadline=time.monotonic() + 600)
    sink.close()
    sys.setprofile(None)
    if failed:
        raise RuntimeError(failed)
    return made
