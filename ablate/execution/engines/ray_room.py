"""How many attempts still find a place on the nodes of a Ray cluster; no Ray in here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ablate.execution.engines.protocol import Resources

STEP = 10_000
"""Ray counts in ten-thousandths; a share is rounded down to them, so that all shares fit."""

Demand = Mapping[str, float]
"""Amounts by the names Ray has for them: CPU, GPU, memory (bytes)."""


@dataclass(frozen=True)
class Node:
    """A node that Ray calls alive."""

    name: str
    """Its address."""
    total: Demand
    """What it has."""
    free: Demand
    """What nobody has taken, as Ray knew a moment ago."""


def demand(
    resources: Resources, *, threads: int, slots_per_device: int, device_bytes: float | None
) -> dict[str, float]:
    """Return what an attempt asks Ray for.

    An attempt that shares its device takes one slot of it, or as much as its memory is of the
    device's ``device_bytes``, if that is more. Of memory beside the device nothing is known.
    """
    wanted = {"CPU": float(threads * max(1, resources.devices))}
    if not resources.devices:
        if resources.memory_bytes:
            wanted["memory"] = math.ceil(resources.memory_bytes)
        return wanted
    wanted["GPU"] = float(resources.devices)
    if resources.shares and resources.devices == 1 and slots_per_device > 1:
        share = 1 / slots_per_device
        if device_bytes:
            share = max(share, resources.memory_bytes / device_bytes)
        wanted["GPU"] = min(1.0, math.floor(share * STEP) / STEP)
    return wanted


def room(nodes: Iterable[Node], waiting: Sequence[Demand], wanted: Demand) -> int:
    """Return how many of ``wanted`` fit once ``waiting``, which Ray does not count yet, have."""
    free = [dict(node.free) for node in nodes]
    for other in waiting:
        for amounts in free:
            if _times(amounts, other):
                for name, amount in other.items():
                    amounts[name] = amounts.get(name, 0.0) - amount
                break
    return sum(_times(amounts, wanted) for amounts in free)


def fits(nodes: Iterable[Node], wanted: Demand) -> bool:
    """Tell whether any node could take ``wanted`` if it were empty."""
    return any(_times(node.total, wanted) for node in nodes)


def largest(nodes: Iterable[Node]) -> str:
    """Return what the nodes have, each kind once, for a message."""
    kinds = sorted({said(node.total) for node in nodes})
    return "; ".join(kinds) or "none at all"


def said(amounts: Demand) -> str:
    """Return amounts in words."""
    words = [f"{amounts.get('CPU', 0):g} CPUs", f"{amounts.get('GPU', 0):g} GPUs"]
    if "memory" in amounts:
        words.append(f"{amounts['memory'] / 1e9:.1f} GB of memory")
    return ", ".join(words)


def _times(amounts: Demand, wanted: Demand) -> int:
    counts = (
        _devices(amounts.get(name, 0.0), amount)
        if name == "GPU"
        else _whole(amounts.get(name, 0.0) / amount)
        for name, amount in wanted.items()
        if amount
    )
    return max(0, min(counts, default=0))


def _devices(free: float, share: float) -> int:
    """Return how many shares of devices there are: one share is never of two devices."""
    if share >= 1:
        return _whole(free / share)
    complete = _whole(free)
    return complete * _whole(1 / share) + _whole((free - complete) / share)


def _whole(amount: float) -> int:
    # The sum of Ray's rounded amounts may miss the whole by less than a step.
    return math.floor(amount + 0.5 / STEP)
