"""The local engine: slots on this machine, one process a job, no engine to install."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import SurroundingsError
from ablate.execution.engines.devices import available_cores, available_devices, device_memory
from ablate.execution.engines.environment import device_environment, job_environment
from ablate.execution.engines.launchers import Ended, ForkLauncher, Launcher, SpawnLauncher
from ablate.execution.engines.protocol import Observation, Resources, State, Submission
from ablate.execution.engines.sharing import DeviceBoard, Peak
from ablate.store.attempts import Attempt

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalOptions:
    """How the local engine starts jobs."""

    slots: int | None = None
    """Jobs at a time on cores; None takes as many as have their threads' cores to themselves."""
    most: int | None = None
    """Jobs at a time on cores and accelerators together; None for as many as both have room for."""
    devices: tuple[str, ...] | None = None
    """Accelerators; None asks the driver."""
    slots_per_device: int = 1
    """Jobs that may share an accelerator."""
    device_bytes: Mapping[str, float] | None = None
    """Memory of each accelerator; None asks the driver."""
    threads: int = 1
    """Threads of a job."""
    style: str = "fork" if sys.platform == "linux" else "spawn"
    """``fork`` from a warm server, or ``spawn`` a fresh interpreter per job."""
    preload: tuple[str, ...] = ()
    """Modules the fork server imports."""
    network: bool = False
    """Let jobs ask the model hub."""
    python_path: tuple[str, ...] = ()
    """Folders that jobs import from besides the installed packages."""
    log: Path | None = None
    """Where the fork server writes."""
    server_deaths: int = 20
    """Deaths of the fork server in a row, no job ending between them, after which we give up."""


@dataclass
class _Running:
    submission: Submission
    devices: tuple[str, ...]
    """Empty on cores."""
    launcher: Launcher | None = None


class LocalEngine:
    """Runs attempts on this machine; see `ablate.execution.engines.protocol.Engine`."""

    name = "local"
    survives = False

    def __init__(self, options: LocalOptions) -> None:
        """Find cores and accelerators; nothing is started before the first job."""
        self._options = options
        self._slots = options.slots or max(1, available_cores() // options.threads)
        self._most = sys.maxsize if options.most is None else options.most
        devices = available_devices() if options.devices is None else options.devices
        self._devices = len(devices)
        memory = options.device_bytes
        if memory is None:
            memory = device_memory() if devices and options.slots_per_device > 1 else {}
        self._board = DeviceBoard(
            devices, places=options.slots_per_device, memory=memory, peak=self._peak
        )
        self._environment = job_environment(
            threads=options.threads, network=options.network, python_path=options.python_path
        )
        self._fork: ForkLauncher | None = None
        self._spawn: SpawnLauncher | None = None
        self._may_fork = options.style == "fork"
        self._running: dict[str, _Running] = {}
        self._gone: dict[str, Observation] = {}
        self._deaths = 0

    @property
    def threads(self) -> int:
        """Threads of a job."""
        return self._options.threads

    def capacity(self, resources: Resources) -> int:
        """Return free device places, or free core slots where there is no device to ask for.

        1 where there never will be enough devices: to submit it then says so.
        """
        left = self._most - len(self._running)
        if resources.devices and self._board:
            if resources.devices > self._devices:
                return min(left, 1)
            return min(left, self._board.room(resources))
        on_cores = [running for running in self._running.values() if not running.devices]
        if any(running.submission.resources.alone for running in on_cores):
            return 0
        free = self._slots - len(on_cores) if not resources.alone else int(not on_cores)
        return min(left, free)

    def resize(self, slots: int) -> None:
        """Run at most so many at a time, on cores and on devices together."""
        self._slots = self._most = slots

    def submit(self, submission: Submission) -> str:
        """Start the attempt's worker, or torchrun where it has several devices."""
        resources = submission.resources
        if self._board and resources.devices > self._devices:
            raise SurroundingsError(
                f"local engine: a job asks for {resources.devices} accelerators, and this machine "
                f"has {self._devices}. Ask for fewer (devices of the place), or run it elsewhere."
            )
        devices: tuple[str, ...] = ()
        if resources.devices and self._board:
            devices = self._board.take(submission.name, resources)
        self._running[submission.name] = running = _Running(submission, devices)
        self._start(running, self._spawning() if len(devices) > 1 else self._launcher())
        return submission.name

    def poll(self, handles: Sequence[str], *, timeout_seconds: float) -> Mapping[str, Observation]:
        """Return the word about each handle."""
        launchers = self._launchers()
        known = any(handle in self._gone for handle in handles)
        for launcher in launchers:
            for ended in launcher.wait(0.0 if known else timeout_seconds / len(launchers)):
                self._end(ended)
        return {handle: self._word(handle) for handle in handles}

    def cancel(self, handle: str, *, gently: bool) -> None:
        """Send SIGTERM, which workers take as a wish, or SIGKILL."""
        running = self._running.get(handle)
        if running is not None and running.launcher is not None:
            running.launcher.signal(handle, signal.SIGTERM if gently else signal.SIGKILL)

    def reattach(self, submission: Submission) -> str | None:
        """Return None: a local worker dies with its controller."""
        return None

    def close(self) -> None:
        """Kill every worker and the server."""
        for launcher in self._launchers():
            launcher.close()
        self._fork = self._spawn = None
        self._running.clear()

    def failed_imports(self) -> Mapping[str, str]:
        """Return what the fork server could not import, with the reasons."""
        return self._fork.failed_imports if self._fork else {}

    def _word(self, handle: str) -> Observation:
        if handle in self._running:
            return Observation(State.RUNNING)
        unknown = Observation(State.GONE, certain=True, reason="not of this engine")
        return self._gone.get(handle, unknown)

    def _launchers(self) -> list[Launcher]:
        return [launcher for launcher in (self._fork, self._spawn) if launcher is not None]

    def _launcher(self) -> Launcher:
        if not self._may_fork:
            return self._spawning()
        options = self._options
        if self._deaths >= options.server_deaths:
            raise SurroundingsError(
                f"local engine: the fork server died {self._deaths} times in a row; see "
                f"{options.log}. Run with the spawn style, or find out what kills it."
            )
        if self._fork is None or self._fork.dead:
            self._fork = ForkLauncher(options.preload, self._environment, log=options.log)
        return self._fork

    def _spawning(self) -> SpawnLauncher:
        self._spawn = self._spawn or SpawnLauncher(self._environment)
        return self._spawn

    def _start(self, running: _Running, launcher: Launcher) -> None:
        running.launcher = launcher
        environment = device_environment(running.devices)
        launcher.start(running.submission, environment=environment, devices=len(running.devices))

    def _peak(self, handle: str) -> Peak:
        """Return what an attempt's heartbeat says of its memory."""
        beat = Attempt(self._running[handle].submission.folder).heartbeat()
        used = beat.get("device_bytes")
        return Peak(bool(beat.get("progress")), float(used) if used else 0.0)

    def _end(self, ended: Ended) -> None:
        if ended.refused:
            # Not the job's fault: forking is unsafe here, so from now on nothing is forked.
            logger.warning("forking is unsafe, spawning from now on: %s", ended.refused)
            self._may_fork = False
            self._start(self._running[ended.handle], self._launcher())
            return
        running = self._running.pop(ended.handle)
        self._board.give_back(ended.handle)
        died = isinstance(running.launcher, ForkLauncher) and running.launcher.dead
        self._deaths = self._deaths + 1 if died else 0
        reason = "the fork server died" if died else ""
        self._gone[ended.handle] = Observation(State.GONE, ended.code, True, reason, died)
