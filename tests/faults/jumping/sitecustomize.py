"""Lets the wall clock of a process jump; Python imports this module at its start.

Every process with this folder on its path adds the seconds in the file ``ABLATE_TEST_CLOCK``, from
the moment they are there, to what the system says: the clock of controller and workers jumps at
once, as if it had been set.
"""

import os
import time

_seconds, _nanoseconds = time.time, time.time_ns
_file = os.environ.get("ABLATE_TEST_CLOCK", "")


def _offset() -> float:
    try:
        with open(_file, encoding="utf-8") as file:
            return float(file.read())
    except (OSError, ValueError):
        return 0.0


time.time = lambda: _seconds() + _offset()
time.time_ns = lambda: _nanoseconds() + int(_offset() * 1e9)
