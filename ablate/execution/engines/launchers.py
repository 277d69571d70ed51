"""Two ways to start a worker on this machine: forked from a warm server, or spawned."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ablate.execution.engines.commands import worker_command
from ablate.execution.engines.forkserver import PACKET
from ablate.execution.engines.lifeline import LIFELINE
from ablate.execution.engines.protocol import Submission
from ablate.store.processes import ProcessId, identify, is_alive

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ended:
    """A worker is gone: reaped, and its process group killed."""

    handle: str
    code: int | None
    """Exit status; negative for a signal, None where nobody could see it."""
    refused: str = ""
    """Why it never started, if so."""


class Launcher(Protocol):
    """Starts workers and tells when they are gone."""

    def start(
        self, submission: Submission, *, environment: Mapping[str, str], devices: int
    ) -> None:
        """Start the worker of an attempt that has so many devices."""

    def signal(self, handle: str, number: int) -> None:
        """Send a signal to a worker; SIGKILL reaches its helpers too."""

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """Return what ended, waiting at most so long for the first."""

    def close(self) -> None:
        """Kill every worker and wait for it."""


class ForkLauncher:
    """The controller's side of a fork server; a dead server's jobs are reported as ended."""

    def __init__(
        self, modules: Sequence[str], environment: Mapping[str, str], *, log: Path | None
    ) -> None:
        """Start the server; it imports ``modules`` while the first jobs wait."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # The kernel signals the death of the starting thread, which is the controller's only if
        # it is the main one; the socket's end of file is there in any case.
        bound = int(threading.current_thread() is threading.main_thread())
        command = [sys.executable, "-m", "ablate.execution.engines.forkserver"]
        command += [str(theirs.fileno()), str(os.getpid()), str(bound), *modules]
        out: Any = subprocess.DEVNULL
        with contextlib.ExitStack() as stack:
            stack.callback(theirs.close)
            if log is not None:
                out = stack.enter_context(open(log, "ab"))
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._socket = ours
        self._jobs: dict[str, ProcessId | None] = {}
        self.failed_imports: dict[str, str] = {}
        self.dead = False

    def start(
        self, submission: Submission, *, environment: Mapping[str, str], devices: int
    ) -> None:
        """Ask the server to fork."""
        name, folder = submission.name, str(submission.folder)
        self._jobs[name] = None
        self._send(op="start", handle=name, folder=folder, environment=dict(environment))

    def signal(self, handle: str, number: int) -> None:
        """Ask the server to signal, because only it knows whose number a pid is."""
        self._send(op="signal", handle=handle, signal=int(number))

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """Return what ended; all that ran, if the server died."""
        ended: list[Ended] = []
        timeout = timeout_seconds
        while not self.dead and select.select([self._socket], [], [], timeout)[0]:
            packet = self._receive()
            if packet is None:
                self.dead = True
                break
            ended += self._hear(json.loads(packet))
            timeout = 0.0
        return ended + self._bury() if self.dead else ended

    def close(self) -> None:
        """Hang up: the server kills its children and ends."""
        self._socket.close()
        self.process.terminate()
        try:
            self.process.wait(timeout=10.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.dead = True
        self._bury()

    def _hear(self, message: Mapping[str, Any]) -> list[Ended]:
        if message["event"] == "ready":
            self.failed_imports = dict(message["failed"])
            for name, reason in self.failed_imports.items():
                logger.warning("cannot import %s ahead of the jobs: %s", name, reason)
        elif message["event"] == "started":
            self._jobs[message["handle"]] = identify(message["pid"])
        else:
            self._jobs.pop(message["handle"], None)
            reason = message.get("reason", "")
            return [Ended(message["handle"], message.get("code"), reason)]
        return []

    def _bury(self) -> list[Ended]:
        """Wait until the dead server's children are gone as well: the kernel kills them."""
        self.process.wait()
        for process in self._jobs.values():
            while process is not None and process.start and is_alive(process):
                time.sleep(0.002)
        ended = [Ended(handle, None) for handle in self._jobs]
        self._jobs.clear()
        self._socket.close()
        return ended

    def _send(self, **message: Any) -> None:
        with contextlib.suppress(ConnectionError):  # Its death is heard of in `wait`.
            self._socket.send(json.dumps(message).encode())

    def _receive(self) -> bytes | None:
        try:
            return self._socket.recv(PACKET) or None
        except ConnectionError:
            return None


class SpawnLauncher:
    """Starts a fresh interpreter per job: slower by the imports, safe everywhere."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Keep the environment for every worker."""
        self._environment = dict(environment)
        self._jobs: dict[str, subprocess.Popen[bytes]] = {}
        # Nothing is ever written: its end of file tells workers that this process is gone.
        self._pipe, self._lifeline = os.pipe()

    def start(
        self, submission: Submission, *, environment: Mapping[str, str], devices: int
    ) -> None:
        """Start the attempt's command in a session of its own."""
        lifeline = {LIFELINE: f"{os.getpid()}:{self._pipe}"}
        with open(submission.folder / "log.txt", "ab") as log:
            self._jobs[submission.name] = subprocess.Popen(
                worker_command(submission, devices=devices),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self._environment, **environment, **lifeline},
                pass_fds=[self._pipe],
                start_new_session=True,
            )

    def signal(self, handle: str, number: int) -> None:
        """Signal the worker, with its group for SIGKILL."""
        process = self._jobs.get(handle)
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """Return what ended."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            gone = [handle for handle, process in self._jobs.items() if process.poll() is not None]
            if gone or time.monotonic() >= deadline:
                return [self._reaped(handle) for handle in gone]
            time.sleep(0.01)

    def close(self) -> None:
        """Kill what runs."""
        for handle in list(self._jobs):
            self.signal(handle, signal.SIGKILL)
            self._jobs[handle].wait()
            self._reaped(handle)
        os.close(self._pipe)
        os.close(self._lifeline)

    def _reaped(self, handle: str) -> Ended:
        process = self._jobs.pop(handle)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        return Ended(handle, process.returncode)
