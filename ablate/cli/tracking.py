"""A study's sinks while it runs, and what is left to send."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ablate.cli.track import Track
from ablate.execution.listener import Listener
from ablate.plan.build import Plan
from ablate.tracking.outbox import Outbox
from ablate.tracking.process import Pending, Sinks, drain
from ablate.tracking.targets import remember_chosen


class Tracking:
    """Takes a study's events and sends them while it runs; without trackers it does nothing."""

    def __init__(self, plan: Plan, store: Path, names: Sequence[str]) -> None:
        """Announce the plan's runs; the sinks start with the first event that is new."""
        self._sinks = Sinks(store, plan.study, names)
        self._outbox: Outbox | None = None
        self._track: Track | None = None
        if names:
            remember_chosen(store, plan.study, names)
            self._outbox = Outbox(store, plan.study, wake=self._sinks.wake)
            self._track = Track(plan, self._outbox)

    @property
    def listeners(self) -> list[Listener]:
        """What the controller has to tell."""
        return [] if self._track is None else [self._track]

    def extend(self, plan: Plan) -> None:
        """Announce the runs by which the plan grew."""
        if self._track is not None:
            self._track.extend(plan)

    def close(self) -> None:
        """Give the sinks half a minute to end, and say what is left to send."""
        if self._outbox is not None:
            self._outbox.close()
            say_left(self._sinks.close(seconds=30.0))


def send_rest(store: Path, study: str, names: Sequence[str]) -> None:
    """Send what earlier runs could not, for ten seconds at most, and say what is left."""
    say_left(drain(store, study, names, seconds=10.0))


def say_left(left: Sequence[Pending]) -> None:
    """Print what each destination still waits for, and why, to standard error."""
    for found in left:
        why = f" ({found.error})" if found.error else ""
        print(
            f"tracking: {found.events} events wait for {found.destination}{why}; "
            "the next `ablate run` or `ablate report` sends them",
            file=sys.stderr,
        )
