"""A ceiling on what one call may allocate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = threading.Lock()
"""One block at a time: a second would take the first one's ceiling for the usual limit."""
_STATM = Path("/proc/self/statm")


@contextmanager
def headroom(size: int) -> Iterator[None]:
    """Let the process take at most ``size`` more bytes of address space within the block.

    An allocation beyond raises MemoryError where the library reports it, as Arrow does. It is the
    only bound on files that decompress to more than they claim. Other threads are bound too. Does
    nothing outside Linux.
    """
    if not _STATM.exists():
        yield
        return
    import resource  # Exists on Unix only.

    with _LOCK:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        ceiling = int(_STATM.read_text().split()[0]) * resource.getpagesize() + size
        # A lower limit that somebody has set stays.
        if soft != resource.RLIM_INFINITY:
            ceiling = min(ceiling, soft)
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
