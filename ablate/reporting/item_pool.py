"""Many files of item scores at once, in as many processes as there are cores.

The processes are this interpreter started anew with `ablate.reporting.item_worker`: no fork, which
is unsafe beside threads such as a notebook's, and nothing of the caller's main module. Of a file an
array of numbers comes back, and a layout only where it is a new one.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from ablate.errors import SurroundingsError
from ablate.reporting.artifacts import ItemTable
from ablate.reporting.item_files import ItemReader, Layout
from ablate.stats.estimate import FloatArray

logger = logging.getLogger(__name__)

WORTH_BYTES = 64 << 20
"""Files together from which on processes are started: reading less takes a second at most."""
MOST = 16
"""Processes. More would wait for the disk and for this one."""
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
Wanted = tuple[Path, Mapping[str, str]]
"""A file, and by task the field that tells its fixed subsets apart."""
_Read = tuple[Layout, FloatArray]


def read_tables(wanted: Sequence[Wanted], *, worth: int = WORTH_BYTES) -> list[ItemTable]:
    """Return the item scores of every file, in order; layouts that are equal are one object.

    Raises SurroundingsError as `ItemReader.read` does.
    """
    size = sum(path.stat().st_size for path, _ in wanted if path.exists())
    processes = min(cores(), MOST, len(wanted))
    found: list[_Read] | None = None
    if size >= worth and processes > 1:
        try:
            found = _in_processes(wanted, processes)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            logger.warning("item scores are read in one process (%s)", error)
    if found is None:
        reader = ItemReader()
        found = [reader.read(path, subsets) for path, subsets in wanted]
    kept: list[Layout] = []
    return [_one_of(kept, layout).table(values) for layout, values in found]


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _one_of(kept: list[Layout], layout: Layout) -> Layout:
    """Return the first layout that is equal, so that names are held once."""
    for known in kept:
        if known.digest == layout.digest:
            return known
    kept.append(layout)
    return layout


def _in_processes(wanted: Sequence[Wanted], processes: int) -> list[_Read]:
    left: queue.SimpleQueue[int] = queue.SimpleQueue()
    for place in range(len(wanted)):
        left.put(place)
    found: dict[int, _Read] = {}
    stop = threading.Event()

    def drain() -> None:
        with _Worker() as worker:
            while not stop.is_set():
                try:
                    place = left.get_nowait()
                except queue.Empty:
                    return
                found[place] = worker.read(*wanted[place])

    with ThreadPoolExecutor(processes) as threads:
        started = [threads.submit(drain) for _ in range(processes)]
        try:
            for done in as_completed(started):
                done.result()
        finally:
            stop.set()
    return [found[place] for place in range(len(wanted))]


class _Worker:
    """One process that reads file after file."""

    def __init__(self) -> None:
        environment = {**os.environ, **dict.fromkeys(_ONE_THREAD, "1")}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            # -P: a file in the working folder that is named like a package is none.
            [sys.executable, "-P", "-m", "ablate.reporting.item_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._layouts: list[Layout] = []

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__(None, None, None)

    def read(self, path: Path, subsets: Mapping[str, str]) -> _Read:
        """Return what the process reads of a file."""
        assert self._process.stdin is not None and self._process.stdout is not None
        asked = json.dumps([str(path), dict(subsets)])
        self._process.stdin.write(asked.encode() + b"\n")
        self._process.stdin.flush()
        answer: Any = pickle.load(self._process.stdout)
        if isinstance(answer, str):
            raise SurroundingsError(answer)
        number, layout, values = answer
        if layout is not None:
            self._layouts.append(layout)
        return self._layouts[number], values
