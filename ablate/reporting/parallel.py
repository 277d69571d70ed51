"""Independent parts of a large report, made in as many processes as there are cores."""

from __future__ import annotations

import gc
import os
import pickle
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, TypeVar

from ablate.reporting.item_pool import cores

T = TypeVar("T")


def in_parallel(makes: Sequence[Callable[[], T]]) -> list[T]:
    """Return what each function returns, in order; results must be of a kind that pickle takes.

    The processes are copies of this one, so what was read is not read again. Copying is unsafe
    beside threads and outside Linux: there, and for what a copy could not make, this process makes
    everything itself, and an error is raised as without copies.
    """
    count = min(cores(), len(makes), 255)
    found: dict[int, T] = {}
    if count > 1 and sys.platform == "linux" and threading.active_count() == 1:
        found = _in_copies(makes, count)
    return [found[place] if place in found else make() for place, make in enumerate(makes)]


def _in_copies(makes: Sequence[Callable[[], T]], count: int) -> dict[int, T]:
    # A queue that all copies share: one byte a place, and reading a byte is atomic. Last places
    # first, for a page ends with its longest figures.
    places, fill = os.pipe()
    os.write(fill, bytes(reversed(range(len(makes)))))
    os.close(fill)
    # Collecting garbage writes to every object, and what is written to is copied.
    gc.freeze()
    copies: list[tuple[int, BinaryIO]] = []
    found: dict[int, T] = {}
    try:
        for _ in range(count):
            answers, answer = os.pipe()
            process = os.fork()
            if process == 0:
                _serve(makes, places, answer)
            os.close(answer)
            copies.append((process, os.fdopen(answers, "rb")))
        for _, file in copies:
            found |= _answers(file)
    finally:
        gc.unfreeze()
        os.close(places)
        for process, file in copies:
            file.close()
            os.waitpid(process, 0)
    return found


def _serve(makes: Sequence[Callable[[], Any]], places: int, answer: int) -> None:
    """Make place after place and leave; an error is left to the process that asked."""
    try:
        made: dict[int, Any] = {}
        while place := os.read(places, 1):
            made[place[0]] = makes[place[0]]()
        with os.fdopen(answer, "wb") as file:
            pickle.dump(made, file, protocol=pickle.HIGHEST_PROTOCOL)
    finally:
        # Nothing of what the copied process wanted to do at its end.
        os._exit(0)


def _answers(file: BinaryIO) -> dict[int, Any]:
    try:
        found: dict[int, Any] = pickle.load(file)
        return found
    except (EOFError, pickle.UnpicklingError):
        return {}
