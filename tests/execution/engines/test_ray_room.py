"""What attempts ask of Ray, and how many find a place; plain arithmetic."""

from dataclasses import replace

import pytest

from ablate.execution.engines.protocol import Resources
from ablate.execution.engines.ray_room import Demand, Node, demand, fits, largest, room

SHARED = Resources(devices=1, shares=True)


def node(cpus: float, gpus: float = 0.0, *, free_gpus: float | None = None) -> Node:
    total = {"CPU": cpus, "GPU": gpus}
    return Node("10.0.0.1", total, {**total, "GPU": gpus if free_gpus is None else free_gpus})


def asked(resources: Resources, *, slots: int = 1, device_bytes: float | None = None) -> Demand:
    return demand(resources, threads=2, slots_per_device=slots, device_bytes=device_bytes)


def test_a_job_of_cores_asks_for_its_threads_and_its_memory() -> None:
    assert asked(Resources()) == {"CPU": 2}
    assert asked(Resources(memory_bytes=1.5)) == {"CPU": 2, "memory": 2}


def test_every_process_of_a_job_of_several_accelerators_has_its_threads() -> None:
    # The memory named is that of a device, of which Ray knows nothing.
    assert asked(Resources(devices=4, memory_bytes=8e9)) == {"CPU": 8, "GPU": 4}


@pytest.mark.parametrize(
    ("memory", "share"),
    [(0.0, 0.3333), (2e9, 0.3333), (5e9, 0.5), (12e9, 1.0)],
    ids=["unknown", "small", "half", "too large"],
)
def test_a_share_is_a_slot_or_what_its_memory_takes(memory: float, share: float) -> None:
    # Three slots of 10 GB: a third, rounded down to Ray's step so that three fit.
    resources = replace(SHARED, memory_bytes=memory)
    assert asked(resources, slots=3, device_bytes=10e9)["GPU"] == share


def test_what_does_not_share_gets_a_whole_device() -> None:
    assert asked(replace(SHARED, shares=False), slots=3)["GPU"] == 1


def test_room_is_counted_node_by_node() -> None:
    # 3 CPUs and 3 CPUs hold one job of 2 each, not three.
    assert room([node(3), node(3)], [], {"CPU": 2}) == 2


def test_a_share_is_never_of_two_devices() -> None:
    # Each of the two devices holds one of 0.6; 0.4 is left of each.
    assert room([node(8, 2)], [], {"CPU": 1, "GPU": 0.6}) == 2
    # One is free and of the other a half.
    assert room([node(8, 2, free_gpus=1.5)], [], {"CPU": 1, "GPU": 0.5}) == 3


def test_three_thirds_fit_on_a_device_though_they_are_rounded() -> None:
    assert room([node(8, 1)], [], {"CPU": 1, "GPU": 0.3333}) == 3
    # 1 - 2 x 0.3333 = 0.3334 is left.
    assert room([node(8, 1, free_gpus=0.3334)], [], {"CPU": 1, "GPU": 0.3333}) == 1


def test_what_waits_for_its_place_has_it() -> None:
    nodes = [node(2, 1), node(2, 1)]
    waiting = [{"CPU": 1.0, "GPU": 1.0}]
    assert room(nodes, waiting, {"CPU": 1.0, "GPU": 1.0}) == 1
    assert room(nodes, waiting * 3, {"CPU": 1.0, "GPU": 1.0}) == 0
    assert nodes[0].free["GPU"] == 1, "a look must not change what was seen"


def test_a_job_fits_a_node_that_would_be_large_enough_if_it_were_empty() -> None:
    assert fits([node(2, 2, free_gpus=0)], {"CPU": 1, "GPU": 2})
    assert not fits([node(2, 1), node(2, 1)], {"CPU": 1, "GPU": 2})


def test_the_nodes_are_named_by_what_they_have_each_kind_once() -> None:
    assert largest([node(2, 1), node(2, 1), node(4)]) == "2 CPUs, 1 GPUs; 4 CPUs, 0 GPUs"
    assert largest([]) == "none at all"
