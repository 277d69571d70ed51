"""How much of a disk files take, as ``du`` counts: blocks, folders too, hard links once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

BLOCK_BYTES = 512
"""Unit of ``st_blocks`` whatever the file system's own block is (stat(2))."""

Seen = set[tuple[int, int]]
"""Device and inode of what was counted already."""


def disk_usage(path: Path, seen: Seen | None = None) -> int:
    """Return the bytes of disk that ``path`` and everything below it take.

    What is in ``seen`` already counts nothing, and what is counted goes there: the sizes of several
    folders then add up to that of all together, whichever holds the first of two hard links. What
    vanishes meanwhile counts nothing; links are counted and never followed.
    """
    seen = set() if seen is None else seen
    return sum(_size(found, seen) for found in _tree(path))


def _tree(path: Path) -> Iterator[os.stat_result]:
    try:
        stat = os.lstat(path)
    except OSError:
        return
    yield stat
    pending = [path] if path.is_dir() and not path.is_symlink() else []
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                yield entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
            except OSError:
                continue


def _size(stat: os.stat_result, seen: Seen) -> int:
    identity = (stat.st_dev, stat.st_ino)
    if identity in seen:
        return 0
    seen.add(identity)
    return stat.st_blocks * BLOCK_BYTES
