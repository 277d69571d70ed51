"""What a campaign kills, by engine: the processes, and how a killed daemon comes back."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from processes import children, command, kill

from ablate.testing.ray_loopback import Machine, RayLoopback
from ablate.testing.slurm_loopback import NODES, SlurmLoopback, processes_of

WORKER = "ablate.execution.worker"


class Target(Protocol):
    """An engine under a campaign."""

    name: str
    """As ``--engine`` takes it."""
    weights: Mapping[str, int]
    """How often each kind of process is chosen."""

    def strike(self, kind: str, controller: int, choice: float) -> bool:
        """Kill one process of a kind, by ``choice`` in [0, 1); False where none lives."""

    def heal(self) -> None:
        """Start again what was killed and does not come back by itself."""

    def close(self) -> None:
        """End what was started."""


class Local:
    """This machine: nothing but the controller's own processes."""

    name = "local"
    weights: Mapping[str, int] = {"worker": 5, "controller": 3, "server": 2}

    def strike(self, kind: str, controller: int, choice: float) -> bool:
        """Kill the controller, its fork server, or one of the server's workers."""
        if kind == "controller":
            return kill(controller)
        servers = [pid for pid in children(controller) if "forkserver" in command(pid)]
        workers = [pid for server in servers for pid in children(server)]
        return _one_of(servers if kind == "server" else workers, choice)

    def heal(self) -> None:
        """Do nothing: the controller starts a new server."""

    def close(self) -> None:
        """Do nothing."""


class Slurm:
    """A real Slurm of two nodes on loopback; its daemons are killed as well."""

    name = "slurm"
    weights: Mapping[str, int] = {
        **{"worker": 5, "controller": 3},
        **{"slurmctld": 1, "slurmd": 2, "slurmstepd": 1},
    }

    def __init__(self) -> None:
        """Start the cluster; commands that this process starts find it."""
        self._folder = tempfile.TemporaryDirectory(prefix="slurm-")
        self._cluster = SlurmLoopback(Path(self._folder.name, "cluster"))
        self._cluster.__enter__()
        os.environ.update(self._cluster.environment)
        self._dead: list[str] = []

    def strike(self, kind: str, controller: int, choice: float) -> bool:
        """Kill the controller, a worker, a daemon, or the daemon of one job."""
        if kind == "controller":
            return kill(controller)
        if kind in ("slurmctld", "slurmd"):
            daemon = kind if kind == "slurmctld" else NODES[int(choice * len(NODES))]
            self._cluster.kill(daemon)
            self._dead.append(daemon)
            return True
        words = WORKER if kind == "worker" else "slurmstepd: ["
        pids = sorted(processes_of(self._cluster.folder))
        return _one_of([pid for pid in pids if words in command(pid)], choice)

    def heal(self) -> None:
        """Start dead daemons again."""
        while self._dead:
            daemon = self._dead.pop()
            if daemon == "slurmctld":
                self._cluster.start_controller()
            else:
                self._cluster.start_node(daemon)

    def close(self) -> None:
        """End the cluster."""
        self._cluster.__exit__()
        self._folder.cleanup()


class Ray:
    """A real Ray on loopback: a head that lends nothing, and two nodes, which are lost at times.

    The head itself is spared: without a copy of its memory elsewhere Ray loses the cluster with it.
    """

    name = "ray"
    weights: Mapping[str, int] = {"worker": 5, "controller": 3, "actor": 2, "raylet": 2}

    def __init__(self) -> None:
        """Start the cluster; commands that this process starts find it."""
        self._cluster = RayLoopback()
        self._cluster.add(Machine(cpus=0))
        self._nodes = [self._cluster.add(Machine(cpus=1)) for _ in range(2)]
        self._missing = 0
        os.environ["RAY_ADDRESS"] = self._cluster.address

    def strike(self, kind: str, controller: int, choice: float) -> bool:
        """Kill the controller, a worker, an actor, or a node's raylet."""
        if kind == "controller":
            return kill(controller)
        if kind == "raylet":
            host = self._nodes.pop(int(choice * len(self._nodes)))
            self._missing += 1
            return kill(self._cluster.raylet(host))
        words = WORKER if kind == "worker" else "ray::"
        pids = sorted(self._cluster.processes())
        return _one_of([pid for pid in pids if words in command(pid)], choice)

    def heal(self) -> None:
        """Start as many nodes as were lost."""
        while self._missing:
            self._nodes.append(self._cluster.add(Machine(cpus=1)))
            self._missing -= 1

    def close(self) -> None:
        """End the cluster."""
        self._cluster.stop()


def _one_of(pids: list[int], choice: float) -> bool:
    return bool(pids) and kill(pids[int(choice * len(pids))])
