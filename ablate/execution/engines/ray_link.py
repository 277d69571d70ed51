"""The engine's end of the line to the process that speaks to Ray."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ablate.execution.engines.lifeline import LIFELINE

ANSWER_SECONDS = 30.0
"""For an answer, beyond what was asked to be waited for."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_BACKEND_LOG_LEVEL": "error",
    "RAY_LOG_TO_DRIVER": "0",
}
"""Ray asks nobody and says nothing."""


class BridgeLost(Exception):
    """The process that speaks to Ray has ended, or does not answer."""


class Refused(Exception):
    """Ray would not do what was asked; the text is Ray's."""


class Link:
    """A bridge process, from its start to its end; it ends with this one."""

    def __init__(self, address: str, *, log: Path | None) -> None:
        """Start it; `ready` tells when it has found the cluster."""
        self._socket, theirs = socket.socketpair()
        # Nothing is ever written: its end of file tells the bridge that this process is gone.
        pipe, self._lifeline = os.pipe()
        command = [sys.executable, "-m", "ablate.execution.engines.ray_bridge"]
        command += [str(theirs.fileno()), address]
        lifeline = {LIFELINE: f"{os.getpid()}:{pipe}"}
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, pipe)
            stack.callback(theirs.close)
            out: Any = stack.enter_context(open(log, "ab")) if log else subprocess.DEVNULL
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **QUIET, **lifeline},
                pass_fds=[pipe, theirs.fileno()],
                start_new_session=True,
            )
        self._buffer = b""
        self._is_ready = False

    def ready(self, timeout_seconds: float) -> bool:
        """Tell whether the cluster was found by then; raises Refused with Ray's reason if not."""
        if not self._is_ready:
            line = self._line(timeout_seconds)
            self._is_ready = line is not None
            if line is not None:
                _result(line)
        return self._is_ready

    def ask(self, op: str, *, wait_seconds: float = 0.0, **fields: Any) -> Any:
        """Return the answer; raises Refused, or BridgeLost if there is none."""
        try:
            self._socket.sendall(json.dumps({"op": op, **fields}).encode() + b"\n")
        except OSError as error:
            raise BridgeLost(str(error)) from error
        line = self._line(ANSWER_SECONDS + wait_seconds)
        if line is None:
            raise BridgeLost(f"no answer within {ANSWER_SECONDS:.0f} s")
        return _result(line)

    def close(self) -> None:
        """End the process; attempts live on."""
        self._socket.close()
        try:
            self.process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._lifeline)

    def _line(self, timeout_seconds: float) -> bytes | None:
        deadline = time.monotonic() + timeout_seconds
        while b"\n" not in self._buffer:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._socket], [], [], left)[0]:
                return None
            try:
                received = self._socket.recv(1 << 16)
            except OSError as error:
                raise BridgeLost(str(error)) from error
            if not received:
                raise BridgeLost("the process that speaks to Ray has ended")
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


def _result(line: bytes) -> Any:
    answer = json.loads(line)
    if "error" in answer:
        raise Refused(answer["error"])
    return answer["result"]
