"""The Ray actor of one attempt: starts the worker on its node and tells how it ended.

Ray's own processes are no place for a job: they come with threads, signal handlers and variables
that would change results or hide a crash. The actor only holds the resources and watches.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ablate.execution.engines.commands import worker_command
from ablate.execution.engines.environment import device_environment, job_environment
from ablate.execution.engines.lifeline import LIFELINE
from ablate.execution.engines.protocol import Resources, Submission
from ablate.execution.linux import out_of_memory_kills

LINGER_SECONDS = 60.0
"""For a controller to hear how the worker ended; afterwards the actor gives its resources back."""
STOP_SECONDS = 60.0
"""For a checkpoint when the time limit is reached."""
TICK_SECONDS = 0.05
"""Between two looks at whether the worker has ended."""


@dataclass(frozen=True)
class Order:
    """What an actor is told to run; only plain values, for it crosses the network."""

    name: str
    """Of the attempt."""
    folder: str
    """The attempt's, as every node sees it."""
    devices: int
    """Processes under torchrun; one process below 2."""
    threads: int
    """Of a process."""
    seconds: float | None
    """Time limit."""
    network: bool
    """Whether the job may ask the model hub."""
    python_path: tuple[str, ...]
    """Folders to import from besides the installed packages."""
    variables: Mapping[str, str]
    """Further environment variables; what makes results repeatable is set in any case."""
    cwd: str
    """Where to start, if the node has it."""


def worker_environment(order: Order, devices: Sequence[str]) -> dict[str, str]:
    """Return this node's environment without Ray's own variables, and with what jobs need."""
    os.environ.update(order.variables)  # This process is the attempt's own.
    found = job_environment(
        threads=order.threads, network=order.network, python_path=order.python_path
    )
    # Ray's debugger hook cannot work in a process that Ray does not know.
    ours = {k: v for k, v in found.items() if not k.startswith("RAY_") and k != "PYTHONBREAKPOINT"}
    return {**ours, **device_environment(devices)}


class AttemptActor:
    """Runs one worker; its methods are called through Ray, each in the same event loop."""

    def __init__(self, order: Order) -> None:
        """Start the worker; it ends with this process, whatever ends it."""
        import ray

        context = ray.get_runtime_context()
        self._node = context.get_node_id()
        devices = context.get_accelerator_ids().get("GPU", [])
        self._order = order
        self._reason = ""
        self._done = threading.Event()
        self._kills = out_of_memory_kills()
        # Nothing is ever written: its end of file tells the worker that this process is gone.
        self._pipe, self._lifeline = os.pipe()
        self._process = self._start([str(device) for device in devices])
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    async def begun(self) -> str:
        """Return the node's identity: the worker was started on it."""
        return str(self._node)

    async def ended(self) -> tuple[int, str]:
        """Return status and reason once the worker is gone."""
        while not self._done.is_set():
            await asyncio.sleep(TICK_SECONDS)
        return self._process.returncode, self._reason

    async def stop(self, gently: bool) -> None:
        """Ask the worker to stop after its next checkpoint, or kill it with its helpers."""
        self._signal(gently=gently)

    def _start(self, devices: Sequence[str]) -> subprocess.Popen[bytes]:
        order = self._order
        folder = Path(order.folder)
        if not folder.is_dir():
            raise FileNotFoundError(f"node {socket.gethostname()} does not see {folder}")
        submission = Submission(order.name, folder, Resources(devices=order.devices))
        lifeline = {LIFELINE: f"{os.getpid()}:{self._pipe}"}
        with open(folder / "log.txt", "ab") as log:
            return subprocess.Popen(
                worker_command(submission, devices=order.devices, python=sys.executable),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**worker_environment(order, devices), **lifeline},
                cwd=order.cwd if os.path.isdir(order.cwd) else None,
                pass_fds=[self._pipe],
                start_new_session=True,
            )

    def _watch(self) -> None:
        code = self._wait()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        kills = out_of_memory_kills()
        if code == -signal.SIGKILL and kills is not None and kills > (self._kills or 0):
            self._reason = self._reason or "OUT_OF_MEMORY: killed by its node's kernel"
        self._done.set()
        time.sleep(LINGER_SECONDS)
        os._exit(0)

    def _wait(self) -> int:
        """Return the worker's status; end it at its time limit."""
        limit = self._order.seconds
        try:
            return self._process.wait(limit)
        except subprocess.TimeoutExpired:
            self._reason = f"reached its time limit of {limit:g} s"
        self._signal(gently=True)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(gently=False)
        return self._process.wait()

    def _signal(self, *, gently: bool) -> None:
        if self._process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            if gently:
                self._process.send_signal(signal.SIGTERM)
            else:
                os.killpg(self._process.pid, signal.SIGKILL)
