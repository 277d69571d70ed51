"""Locks that die with their holder: the lease of a study and the claim of a job."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from ablate.store.files import read_json, surroundings
from ablate.store.privacy import umask
from ablate.store.processes import this_process


class Lock:
    """An exclusive flock on a file that also says who holds it.

    The kernel frees it when the holder dies in any way, so there is nothing to steal. The file
    stays: removing it would let two holders lock two files of one name.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is opened yet."""
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, **about: Any) -> bool:
        """Take the lock and write ``about`` and this process beside it; False if it is held."""
        with surroundings(self.path):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666 & ~umask())
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            except BaseException:
                os.close(descriptor)
                raise
            self._descriptor = descriptor
            record = {**this_process().as_json(), "since": time.time(), **about}
            # In place, not by rename: the lock belongs to the inode.
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(record).encode(), 0)
        return True

    def release(self) -> None:
        """Give the lock up; harmless when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def is_held(self) -> bool:
        """Tell whether somebody holds the lock, without touching what is written beside it.

        For the moment of the question nobody else can take it: ask only while `Store.guard` keeps
        those away who would give up then.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def holder(self) -> dict[str, Any]:
        """Return what the present or last holder wrote; empty where nothing can be read."""
        record = read_json(self.path)
        return record if isinstance(record, dict) else {}
