"""Which attempts share an accelerator, and when the next one may join."""

from ablate.execution.engines.protocol import Resources
from ablate.execution.engines.sharing import DeviceBoard, Peak

GB = 1e9
SMALL = Resources(devices=1, shares=True, memory_bytes=3 * GB)
ALONE = Resources(devices=1, shares=False, memory_bytes=3 * GB)


class Bench:
    """A board of two devices of 10 GB with three places each, and what attempts have shown."""

    def __init__(self, devices: tuple[str, ...] = ("0", "1"), places: int = 3) -> None:
        self.peaks: dict[str, Peak] = {}
        memory = dict.fromkeys(devices, 10 * GB)
        self.board = DeviceBoard(devices, places=places, memory=memory, peak=self._peak)

    def _peak(self, handle: str) -> Peak:
        return self.peaks.get(handle, Peak(False, 0.0))

    def settle(self, handle: str, memory_bytes: float = 0.0) -> None:
        self.peaks[handle] = Peak(True, memory_bytes)


def test_the_next_guest_waits_for_the_first_step_of_the_last() -> None:
    bench = Bench(("0",))
    assert bench.board.take("a", SMALL) == ("0",)
    assert bench.board.room(SMALL) == 0
    bench.settle("a", 4 * GB)
    assert bench.board.room(SMALL) == 1
    assert bench.board.take("b", SMALL) == ("0",)


def test_memory_that_was_shown_counts_and_not_the_estimate() -> None:
    """The first said 3 GB and took 8: with 3 more it would be 11 of 10."""
    bench = Bench(("0",))
    bench.board.take("a", SMALL)
    bench.settle("a", 8 * GB)
    assert bench.board.room(SMALL) == 0
    bench.settle("a", 7 * GB)
    assert bench.board.room(SMALL) == 1


def test_an_attempt_that_cannot_tell_its_memory_counts_as_estimated() -> None:
    bench = Bench(("0",))
    bench.board.take("a", Resources(devices=1, shares=True, memory_bytes=8 * GB))
    bench.settle("a")
    assert bench.board.room(SMALL) == 0


def test_places_limit_the_guests_of_a_device() -> None:
    bench = Bench(("0",), places=2)
    for name in ("a", "b"):
        bench.board.take(name, SMALL)
        bench.settle(name, 1 * GB)
    assert bench.board.room(SMALL) == 0
    bench.board.give_back("a")
    assert bench.board.room(SMALL) == 1


def test_the_emptiest_device_comes_first() -> None:
    bench = Bench()
    assert bench.board.take("a", SMALL) == ("0",)
    bench.settle("a", 1 * GB)
    assert bench.board.take("b", SMALL) == ("1",)


def test_who_does_not_share_gets_a_device_of_its_own() -> None:
    bench = Bench()
    bench.board.take("a", SMALL)
    bench.settle("a", 1 * GB)
    assert bench.board.room(ALONE) == 1
    assert bench.board.take("b", ALONE) == ("1",)
    bench.settle("b", 1 * GB)
    assert bench.board.room(ALONE) == 0
    assert bench.board.room(SMALL) == 1  # Beside a, never beside b.


def test_a_job_of_two_devices_waits_for_two_empty_ones() -> None:
    bench = Bench(("0", "1", "2"))
    pair = Resources(devices=2)
    bench.board.take("a", SMALL)
    assert bench.board.room(pair) == 1
    assert bench.board.take("b", pair) == ("1", "2")
    bench.settle("b", 1 * GB)
    assert bench.board.room(SMALL) == 0  # The first has not shown its step, b shares nothing.
    bench.board.give_back("a")
    bench.board.give_back("b")
    assert bench.board.room(pair) == 1 and bench.board.room(ALONE) == 3


def test_without_known_memory_only_places_count() -> None:
    board = DeviceBoard(("0",), places=2, peak=lambda handle: Peak(True, 99 * GB))
    board.take("a", SMALL)
    assert board.room(SMALL) == 1


def test_a_board_without_devices_is_empty() -> None:
    assert not DeviceBoard((), peak=lambda handle: Peak(True, 0.0))
