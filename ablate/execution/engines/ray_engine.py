"""The Ray engine: one detached actor per attempt on a cluster whose nodes see the store.

Ray places; order, retries and verdicts are ours. An actor with several GPUs is put on one node by
Ray itself. A placement group would do no more, but it must outlive the controller to let its
attempt do so, and then holds the GPUs of an attempt that is over until somebody removes it.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablate.errors import SurroundingsError
from ablate.execution.engines.lifeline import LIFELINE
from ablate.execution.engines.protocol import Observation, Resources, State, Submission
from ablate.execution.engines.ray_cluster import Cluster
from ablate.execution.engines.ray_link import BridgeLost, Link, Refused
from ablate.execution.engines.ray_room import Demand, demand, largest, room, said
from ablate.store.attempts import Attempt

logger = logging.getLogger(__name__)

MOST_QUEUED = 64
"""Attempts at a time where nodes come on demand, unless the place says how many."""
RECONNECT_SECONDS = 10.0
"""For a connection to stop an attempt by."""
SETTLE_SECONDS = 0.5
"""Until the nodes have told Ray what a started actor takes; they do so every 0.1 s."""
CARRIED = ("ABLATE_", "ATEN_", "HF_", "MKL_", "TORCH_", "TRANSFORMERS_")
"""Beginnings of the variables that follow a job to its node: where models lie, which kernels run.
Everything else is the node's own."""
SECRETS = ("TOKEN", "KEY", "SECRET", "PASSWORD")
"""What no variable that travels may have in its name: Ray keeps them where others can read."""


@dataclass(frozen=True)
class RayOptions:
    """Which cluster, and how jobs run there."""

    address: str = "auto"
    """Of the cluster; ``auto`` takes RAY_ADDRESS or the cluster this machine is a node of."""
    slots: int | None = None
    """Jobs at a time; None takes as many as the nodes have room for."""
    threads: int = 1
    """Threads, and so CPUs, of a process."""
    slots_per_device: int = 1
    """Jobs that may share an accelerator."""
    device_bytes: float | None = None
    """Memory of an accelerator; without it one sharing job is started after the other."""
    autoscaling: bool = False
    """Nodes come when jobs wait for them, so jobs are sent although there is no room."""
    network: bool = False
    """Let jobs ask the model hub."""
    python_path: tuple[str, ...] = ()
    """Folders that jobs import from besides the installed packages."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further variables of the jobs."""
    log: Path | None = None
    """Where Ray's own words go."""
    patience_seconds: float = 600.0
    """For a cluster, or the node a job needs, that was there and is lost."""


@dataclass
class _Live:
    submission: Submission
    demand: Demand
    running_since: float | None = None
    """Monotonic seconds; None while it waits for its place."""
    word: Observation = field(default_factory=lambda: Observation(State.PENDING))


class RayEngine:
    """Runs attempts on a Ray cluster; see `ablate.execution.engines.protocol.Engine`."""

    name = "ray"
    survives = True

    def __init__(self, options: RayOptions) -> None:
        """Connect; raises SurroundingsError where there is no Ray, or no cluster."""
        self._options = options
        self._slots = options.slots or (MOST_QUEUED if options.autoscaling else sys.maxsize)
        self._live: dict[str, _Live] = {}
        self._gone: dict[str, Observation] = {}
        self._cluster = Cluster(
            options.address,
            log=options.log,
            patience_seconds=options.patience_seconds,
            rejoin=self._rejoin,
        )

    def capacity(self, resources: Resources) -> int:
        """Return how many such attempts find a place now, within the slots.

        1 where no node could ever take one: to submit it then says so.
        """
        left = max(0, self._slots - len(self._live))
        self._cluster.look()
        if self._cluster.is_lost:
            self._cluster.check_patience()
            return 0
        if self._options.autoscaling:
            return left
        wanted = self._demand(resources)
        if self._cluster.is_hopeless(wanted):
            return min(left, 1)
        if resources.shares and not self._may_share(resources):
            return 0
        return min(left, room(self._cluster.nodes, self._waiting(), wanted))

    def resize(self, slots: int) -> None:
        """Change the number of attempts at a time."""
        self._slots = slots

    def submit(self, submission: Submission) -> str:
        """Create the attempt's actor, or find the one it has; Ray starts it where there is room."""
        wanted = self._demand(submission.resources)
        if not self._options.autoscaling and self._cluster.is_hopeless(wanted):
            raise SurroundingsError(
                f"engine ray: a job asks for {said(wanted)}, which no node has; the nodes have "
                f"{largest(self._cluster.seen)}. Ask for less (devices, threads), or add a node."
            )
        handle = _handle(submission)
        order = self._order(submission, devices=math.ceil(wanted.get("GPU", 0.0)))
        try:
            self._cluster.insist("start", handle=handle, order=order, demand=wanted)
        except Refused as error:
            raise SurroundingsError(
                f"engine ray: the cluster does not take a job ({error}). Its nodes need the same "
                "versions of Python, Ray and ablate as this machine."
            ) from None
        self._live[handle] = _Live(submission, wanted)
        return handle

    def poll(self, handles: Sequence[str], *, timeout_seconds: float) -> Mapping[str, Observation]:
        """Return the word about each handle; an uncertain one while the cluster is out of reach."""
        seconds = 0.0 if any(handle not in self._live for handle in handles) else timeout_seconds
        if self._cluster.connect(0.0):
            try:
                self._hear(self._cluster.ask("wait", wait_seconds=seconds, seconds=seconds))
            except (BridgeLost, Refused) as error:
                self._cluster.lose(str(error))
        else:
            time.sleep(seconds)
        return {handle: self._word(handle) for handle in handles}

    def cancel(self, handle: str, *, gently: bool) -> None:
        """Send SIGTERM, which workers take as a wish, or SIGKILL; take back what has not begun."""
        if handle not in self._live:
            return
        for _ in range(2):  # The first try may be what finds out that the connection is gone.
            if not self._cluster.connect(RECONNECT_SECONDS):
                break
            try:
                self._cluster.ask("stop", handle=handle, gently=gently)
                return
            except (BridgeLost, Refused):
                continue
        logger.warning("engine ray: could not stop %s: %s", handle, self._cluster.trouble)

    def reattach(self, submission: Submission) -> str | None:
        """Return the handle of an attempt whose actor lives."""
        handle = _handle(submission)
        try:
            found = self._cluster.insist("find", handle=handle)
        except Refused as error:
            raise SurroundingsError(f"engine ray: {error}. Try again later.") from None
        if not found:
            return None
        self._live[handle] = _Live(submission, self._demand(submission.resources))
        return handle

    def close(self) -> None:
        """Hang up; attempts live on."""
        self._cluster.close()

    def _demand(self, resources: Resources) -> Demand:
        options = self._options
        has_devices = options.autoscaling or any(
            node.total.get("GPU") for node in self._cluster.seen
        )
        wanted = demand(
            resources if has_devices else replace(resources, devices=0),
            threads=options.threads,
            slots_per_device=options.slots_per_device,
            device_bytes=options.device_bytes,
        )
        if resources.alone and "GPU" not in wanted:
            cores = (node.total.get("CPU", 0.0) for node in self._cluster.nodes)
            wanted["CPU"] = max(wanted["CPU"], *cores)
        return wanted

    def _order(self, submission: Submission, *, devices: int) -> dict[str, Any]:
        options = self._options
        return {
            "name": submission.name,
            "folder": str(submission.folder.absolute()),
            "devices": devices,
            "threads": options.threads,
            "seconds": submission.resources.seconds,
            "network": options.network,
            "python_path": [str(Path(path).absolute()) for path in options.python_path],
            "variables": {**_carried(), **options.environment},
            "cwd": os.getcwd(),
        }

    def _may_share(self, resources: Resources) -> bool:
        """Tell whether a further sharing job is safe for the memory of those that share already.

        Ray fills a device that is in use before it takes an empty one. With sizes known, shares
        follow them; otherwise the last one must have shown, by its first step, that it fits.
        """
        if self._options.device_bytes and resources.memory_bytes:
            return True
        sharing = [live for live in self._live.values() if 0 < live.demand.get("GPU", 0.0) < 1]
        beats = (Attempt(live.submission.folder).heartbeat() for live in sharing)
        return all(beat.get("progress") for beat in beats)

    def _waiting(self) -> list[Demand]:
        """Return the demands that Ray's count of free resources does not contain yet."""
        settled = self._cluster.looked - SETTLE_SECONDS
        return [
            live.demand
            for live in self._live.values()
            if live.running_since is None or live.running_since > settled
        ]

    def _rejoin(self, link: Link) -> None:
        """Tell a new connection of every attempt; one without an actor is over."""
        for handle in list(self._live):
            if not link.ask("find", handle=handle):
                reason = "its actor was gone when the cluster was found again"
                self._bury(handle, Observation(State.GONE, None, False, reason, blameless=True))

    def _hear(self, words: Mapping[str, Mapping[str, Any]]) -> None:
        for handle, fields in words.items():
            live = self._live.get(handle)
            if live is None:
                continue
            live.word = Observation(**{**fields, "state": State(fields["state"])})
            if live.word.state is State.GONE:
                self._bury(handle, live.word)
            elif live.word.state is State.RUNNING and live.running_since is None:
                live.running_since = time.monotonic()

    def _bury(self, handle: str, word: Observation) -> None:
        del self._live[handle]
        self._gone[handle] = word

    def _word(self, handle: str) -> Observation:
        live = self._live.get(handle)
        if live is None:
            unknown = Observation(State.GONE, certain=True, reason="not of this engine")
            return self._gone.get(handle, unknown)
        if self._cluster.is_lost:
            reason = f"the cluster is out of reach ({self._cluster.trouble})"
            return Observation(State.GONE, None, False, reason, blameless=True)
        return live.word


def _handle(submission: Submission) -> str:
    """Return an attempt's handle: the namespace of its store in Ray, and its name there.

    Two stores on one cluster hold jobs of the same names.
    """
    root = str(Attempt(submission.folder.absolute()).root)
    return f"ablate-{hashlib.sha256(root.encode()).hexdigest()[:12]}/{submission.name}"


def _carried() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(CARRIED)
        and name != LIFELINE
        and not any(word in name.upper() for word in SECRETS)
    }
