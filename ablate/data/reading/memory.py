"""A ceiling on what one call may allocate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    ceiling = int(_STATM.read_text().split()[0]) * resource.getpagesize() + size
    # -1 stands for no limit, and so does a limit that is already lower.
    if soft != resource.RLIM_INFINITY:
        ceiling = min(ceiling, soft)
    resource.setrlimit(resource.RLIMIT_AS, (ceiling, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
