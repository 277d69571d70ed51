"""A process that has everything imported and forks one child per job; Linux only.

Not the standard library's: that one survives its controller, and reports a live child as ended
when it is killed itself. Here a child dies with the server (parent-death signal), and the server
takes all children along when the controller's end of the socket closes. It runs no tensor
operation and asks for no device, because neither threads nor CUDA survive a fork.

Messages are JSON objects, one per packet. From the controller: ``start`` (handle, folder,
environment), ``signal`` (handle, signal). To it: ``ready`` (failed imports), ``started`` (handle,
pid), ``refused`` (handle, reason), ``gone`` (handle, code).
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ablate.execution.linux import die_with_parent, thread_names

PACKET = 1 << 16
"""Longest message in bytes."""


class ForkServer:
    """One controller's server: forks, reaps, reports."""

    def __init__(self, controller: socket.socket) -> None:
        """Serve ``controller`` until it hangs up."""
        self._controller = controller
        self._children: dict[int, str] = {}
        self._stopping = False
        self._wake, wake_writer = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_writer, False)
        signal.set_wakeup_fd(wake_writer)

    def run(self, modules: Iterable[str]) -> None:
        """Import ``modules``, then serve until the controller is gone."""
        failed = preload(modules)
        # Only now: while it imports, SIGTERM ends the server at once.
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, self._stop)
        # Nothing collected in a child, so pages stay shared: 2 MB private per child, not 5.
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            self._send(event="ready", failed=failed, threads=thread_names())
            while not self._stopping:
                self._serve_once()
        except (BrokenPipeError, ConnectionError):
            pass
        finally:
            self._kill_all()

    def _serve_once(self) -> None:
        socket_number = self._controller.fileno()
        readable, _, _ = select.select([socket_number, self._wake], [], [])
        if self._wake in readable:
            with contextlib.suppress(BlockingIOError):
                while os.read(self._wake, 512):
                    pass
        self._reap()
        if socket_number in readable:
            packet = self._controller.recv(PACKET)
            if not packet:
                self._stopping = True
                return
            self._obey(json.loads(packet))

    def _obey(self, message: Mapping[str, Any]) -> None:
        if message["op"] == "start":
            self._start(
                message["handle"], Path(message["folder"]), environment=message["environment"]
            )
        else:
            for pid, handle in self._children.items():
                if handle == message["handle"]:
                    _signal_job(pid, message["signal"])

    def _start(self, handle: str, folder: Path, *, environment: Mapping[str, str]) -> None:
        threads = thread_names()
        if len(threads) > 1:
            # A lock held by another thread at this moment would stay locked in the child.
            reason = f"{len(threads)} threads run in the fork server: {', '.join(threads)}"
            self._send(event="refused", handle=handle, reason=reason)
            return
        gate, gate_writer = os.pipe()
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(gate)
            os.close(gate_writer)
            self._send(event="refused", handle=handle, reason=f"fork: {error.strerror}")
            return
        if pid == 0:
            os.close(gate_writer)
            self._controller.close()
            _run_child(folder, environment, gate=gate, server=server)
        self._children[pid] = handle
        os.close(gate)
        # The child waits at the gate until the controller has been told its pid, so no job ever
        # runs that the controller could not look for after this server's death.
        self._send(event="started", handle=handle, pid=pid)
        with contextlib.suppress(BrokenPipeError):  # The child was killed meanwhile.
            os.write(gate_writer, b"g")
        os.close(gate_writer)

    def _reap(self) -> None:
        while self._children:
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            ended = os.waitid(os.P_ALL, 0, options)
            if ended is None:
                return
            # Before reaping, while the number cannot belong to anyone else: helpers of the job.
            _kill_group(ended.si_pid)
            _, status = os.waitpid(ended.si_pid, 0)
            handle = self._children.pop(ended.si_pid, None)
            if handle is not None:
                code = os.waitstatus_to_exitcode(status)
                self._send(event="gone", handle=handle, code=code)

    def _send(self, **message: Any) -> None:
        self._controller.send(json.dumps(message).encode())

    def _stop(self, number: int, frame: object) -> None:
        self._stopping = True

    def _kill_all(self) -> None:
        for pid in self._children:
            _signal_job(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def preload(modules: Iterable[str]) -> dict[str, str]:
    """Import ``modules``; return the reason for each that cannot be."""
    failed: dict[str, str] = {}
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # Reported: a job that needs it says so again, in its own log.
            traceback.print_exc()
            failed[name] = f"{type(error).__name__}: {error}"
    return failed


def _signal_job(pid: int, number: int) -> None:
    if number == signal.SIGKILL:
        _kill_group(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _kill_group(pid: int) -> None:
    # PermissionError is macOS's word for a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _run_child(folder: Path, environment: Mapping[str, str], *, gate: int, server: int) -> NoReturn:
    code = 1
    try:
        os.setsid()
        die_with_parent(signal.SIGKILL, server)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _redirect(folder / "log.txt")
        os.environ.update(environment)
        passed = os.read(gate, 1)
        os.close(gate)
        if passed:
            gc.enable()
            # Imported by the preload; this module itself stays light.
            run_attempt = importlib.import_module("ablate.execution.worker").run_attempt
            code = run_attempt(folder)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        # Not sys.exit: the server's own clean-up must not run here.
        os._exit(code)


def _redirect(log: Path) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(null)
    os.close(out)


def main() -> None:
    """Serve the socket and controller named on the command line: fd, pid, signal-on-death."""
    descriptor, controller, bound = (int(word) for word in sys.argv[1:4])
    if bound:
        die_with_parent(signal.SIGTERM, controller)
    with socket.socket(fileno=descriptor) as connection:
        connection.set_inheritable(False)
        ForkServer(connection).run(sys.argv[4:])


if __name__ == "__main__":
    main()
