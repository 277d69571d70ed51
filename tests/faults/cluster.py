"""What a campaign kills, by engine: the processes, and how a killed daemon comes back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from processes import children, command


class Target(Protocol):
    """An engine under a campaign."""

    name: str
    """As ``--engine`` takes it, or a place file."""
    weights: Mapping[str, int]
    """How often each kind of process is chosen."""

    def victims(self, kind: str, controller: int, store: Path) -> list[int]:
        """Return the processes of a kind that live now."""

    def heal(self) -> None:
        """Start again what was killed and does not come back by itself."""

    def close(self) -> None:
        """End what was started."""


class Local:
    """This machine: nothing but the controller's own processes."""

    name = "local"
    weights: Mapping[str, int] = {"worker": 5, "controller": 3, "server": 2}

    def victims(self, kind: str, controller: int, store: Path) -> list[int]:
        """Return the controller, its fork server, or the server's workers."""
        if kind == "controller":
            return [controller]
        servers = [pid for pid in children(controller) if "forkserver" in command(pid)]
        if kind == "server":
            return servers
        return [pid for server in servers for pid in children(server)]

    def heal(self) -> None:
        """Do nothing: the controller starts a new server."""

    def close(self) -> None:
        """Do nothing."""
