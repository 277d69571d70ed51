"""A real Ray cluster on loopback addresses, for tests: an imitation would find nothing.

Every process of it carries a mark in its environment, and only those are ever ended: ``ray stop``
would end all of Ray on the machine. A watchdog, which this module is as a program, ends them when
the process that started the cluster goes, however that ends.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SWEEP_SECONDS = 60.0
"""For killed processes to end."""
TRIES = 3
"""Of a node's start: Ray gives its own processes half a minute, whatever else the machine does."""
MARK = "ABLATE_RAY_LOOPBACK"
"""Variable that every process of the cluster has, and the jobs in it."""
HOST = "ABLATE_RAY_HOST"
"""Variable with the node's address."""
STORE_BYTES = 80_000_000
"""Of Ray's object store, which we do not use; hardly more than the least it takes."""
SETTINGS = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "4",
    "RAY_prestart_worker_first_driver": "0",
}
"""A lost node is noticed within seconds, not within half a minute; no process waits in vain."""
PROC = Path("/proc")


@dataclass(frozen=True)
class Machine:
    """A node to be."""

    cpus: int = 2
    """What it offers, whatever the machine has."""
    gpus: int = 0
    """The same; jobs are shown their numbers, nothing is behind them."""


def missing() -> str | None:
    """Return why no cluster can be started here; None if it can."""
    if sys.platform != "linux":
        return "finds its processes in /proc, which only Linux has"
    if importlib.util.find_spec("ray") is None or not _command().exists():
        return "the package ray is not installed"
    return None


class RayLoopback:
    """Nodes on 127.0.0.2, 127.0.0.3, ...; the first is the head."""

    def __init__(self) -> None:
        """Prepare; nothing is started before the first `add`."""
        # Ray puts sockets there, whose paths may have 107 characters.
        self._folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        self._mark = uuid.uuid4().hex
        self._port = _free_port()
        self._nodes = 0
        command = [sys.executable, "-m", __name__, self._mark, str(self._folder)]
        self._watchdog = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )

    @property
    def address(self) -> str:
        """Where drivers connect."""
        return f"127.0.0.2:{self._port}"

    def add(self, machine: Machine) -> str:
        """Start a node; return its address."""
        host = f"127.0.0.{self._nodes + 2}"
        command = [str(_command()), "start", f"--node-ip-address={host}"]
        if self._nodes:
            command += [f"--address={self.address}"]
        else:
            command += ["--head", f"--port={self._port}", f"--temp-dir={self._folder}"]
            command += ["--include-dashboard=false", "--disable-usage-stats", "--no-monitor"]
        # Ray's own range of worker ports would be the same on every node.
        command += ["--min-worker-port=0", "--max-worker-port=0"]
        command += [f"--num-cpus={machine.cpus}", f"--num-gpus={machine.gpus}"]
        command += [f"--object-store-memory={STORE_BYTES}"]
        for _ in range(TRIES):
            if self._start(command, host):
                self._nodes += 1
                return host
            _kill(f"{MARK}={self._mark}", f"{HOST}={host}")
        raise RuntimeError(f"ray start failed: {self._log(host).read_text()}")

    def raylet(self, host: str) -> int:
        """Return the process that is the node at ``host``, as far as Ray is concerned."""
        for pid in self.processes():
            words = _words(pid)
            if words and words[0].endswith("/raylet") and f"--node_ip_address={host}" in words:
                return pid
        raise LookupError(f"no raylet at {host}")

    def processes(self) -> list[int]:
        """Return every living process that was started with the cluster's mark, jobs included."""
        return _marked(f"{MARK}={self._mark}")

    def stop(self) -> None:
        """End every process of the cluster, and its folder."""
        self._watchdog.communicate()
        if self._watchdog.returncode:
            raise RuntimeError(f"Ray: processes {self.processes()} do not end")

    def _start(self, command: Sequence[str], host: str) -> bool:
        with self._log(host).open("wb") as out:
            # What it starts inherits these streams: a pipe would never end.
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **SETTINGS, MARK: self._mark, HOST: host},
                start_new_session=True,
                check=False,
            )
        return done.returncode == 0

    def _log(self, host: str) -> Path:
        return self._folder / f"start-{host}.txt"


@contextmanager
def ray_loopback(machines: Sequence[Machine]) -> Iterator[RayLoopback]:
    """Run a cluster of ``machines`` for the length of the block."""
    cluster = RayLoopback()
    try:
        for machine in machines:
            cluster.add(machine)
        yield cluster
    finally:
        cluster.stop()


def _command() -> Path:
    return Path(sys.executable).with_name("ray")


def _marked(*marks: str) -> list[int]:
    found = []
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                variables = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
                if all(mark in variables for mark in marks):
                    found.append(int(folder.name))
    return found


def _kill(*marks: str) -> bool:
    """Kill every process whose environment has all of ``marks``; False if some do not end."""
    deadline = time.monotonic() + SWEEP_SECONDS
    while pids := _marked(*marks):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _words(pid: int) -> list[str]:
    try:
        return (PROC / str(pid) / "cmdline").read_text().split("\0")
    except OSError:
        return []


def _free_port() -> int:
    """Return a port that is free now, outside of 10002 to 19999, which Ray gives its workers."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.2", 0))
            port: int = probe.getsockname()[1]
        if not 10_000 <= port < 20_000:
            return port


def main(mark: str, folder: str) -> int:
    """Wait for the end of the process at the other end of the input, then end the cluster."""
    sys.stdin.read()  # Nothing is ever written.
    done = _kill(f"{MARK}={mark}")
    shutil.rmtree(folder, ignore_errors=True)
    return 0 if done else 1


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
