"""Which attempt has which accelerator, and who may still join it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.execution.engines.protocol import Resources


@dataclass(frozen=True)
class Peak:
    """What an attempt has shown of its memory."""

    settled: bool
    """Its first step is over, so that what it takes from now on is known."""
    memory_bytes: float
    """Largest so far on its device; 0 if it cannot tell."""


@dataclass
class _Device:
    name: str
    guests: dict[str, Resources] = field(default_factory=dict)


class DeviceBoard:
    """Hands out accelerators: whole ones, or places on shared ones.

    A device takes its next guest only after the last one's first step has shown what it takes:
    jobs admitted at once would all see the same free memory.
    """

    def __init__(
        self,
        devices: Sequence[str],
        *,
        places: int = 1,
        memory: Mapping[str, float] | None = None,
        peak: Callable[[str], Peak],
    ) -> None:
        """Lend ``devices`` to at most ``places`` guests each; ``memory`` is what they have.

        ``peak`` tells what an attempt has shown; of a device whose memory is unknown only the
        number of guests counts.
        """
        self._devices = [_Device(name) for name in devices]
        self._places, self._memory, self._peak = places, dict(memory or {}), peak

    def __bool__(self) -> bool:
        """Tell whether there is any device at all."""
        return bool(self._devices)

    def room(self, resources: Resources) -> int:
        """Return how many more such attempts can start at once."""
        if resources.devices > 1 or not resources.shares:
            free = sum(not device.guests for device in self._devices)
            return free // max(1, resources.devices)
        return sum(self._takes(device, resources) for device in self._devices)

    def take(self, handle: str, resources: Resources) -> tuple[str, ...]:
        """Return the devices of ``handle`` from now on; the emptiest first."""
        wanted = max(1, resources.devices)
        by_guests = sorted(self._devices, key=lambda device: len(device.guests))
        if wanted > 1 or not resources.shares:
            chosen = [device for device in by_guests if not device.guests][:wanted]
        else:
            chosen = [device for device in by_guests if self._takes(device, resources)][:1]
        for device in chosen:
            device.guests[handle] = resources
        return tuple(device.name for device in chosen)

    def give_back(self, handle: str) -> None:
        """Free the places of ``handle``."""
        for device in self._devices:
            device.guests.pop(handle, None)

    def _takes(self, device: _Device, resources: Resources) -> bool:
        if not device.guests:
            return True
        if len(device.guests) >= self._places:
            return False
        if any(guest.devices > 1 or not guest.shares for guest in device.guests.values()):
            return False
        peaks = {handle: self._peak(handle) for handle in device.guests}
        if not all(peak.settled for peak in peaks.values()):
            return False
        total = self._memory.get(device.name)
        used = sum(
            peak.memory_bytes or device.guests[handle].memory_bytes
            for handle, peak in peaks.items()
        )
        return total is None or used + resources.memory_bytes <= total
