"""What a tracker is to the process that carries events to it."""

from __future__ import annotations

from typing import Protocol

from ablate.tracking.events import Recorded


class Refused(Exception):
    """The destination will never take this event; it is kept and the next one is sent."""


class Destination(Protocol):
    """Takes a study's events in order, each at least once.

    Used by one process at a time, which may be killed at any moment: the event that it was at is
    then delivered again.
    """

    def remember(self, recorded: Recorded) -> None:
        """Learn of an event that an earlier process delivered, before the first `deliver`."""

    def deliver(self, recorded: Recorded) -> None:
        """Bring the destination up to date with one event; doing it twice changes nothing.

        Raises Refused for an event that can never be sent, anything else for one to send later.
        """

    def flush(self) -> None:
        """Write what depends on many events; called when none is left for now."""

    def close(self) -> None:
        """End every process and connection."""
