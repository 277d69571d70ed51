"""Who may read a store, and which names may stand in it.

A store is its user's alone. With ``ABLATE_STORE_SHARE=group`` the user's group may read and write
it too, for a store that several people run studies on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ablate.errors import SurroundingsError

SHARE_VARIABLE = "ABLATE_STORE_SHARE"
"""Environment variable; ``group`` opens new files of a store to the user's group."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""ASCII only: no separator, no leading dot, nothing that a file system folds or reorders."""


def umask() -> int:
    """Return the permission bits that files of a store must not have."""
    return 0o007 if os.environ.get(SHARE_VARIABLE) == "group" else 0o077


@contextmanager
def private() -> Iterator[None]:
    """Let files made in the block, by this process and its children, be private.

    The mask belongs to the process, so files that other threads make meanwhile are private too.
    """
    former = os.umask(umask())
    try:
        yield
    finally:
        os.umask(former)


def make_private(folder: Path) -> None:
    """Make a folder that others cannot open; one that is there already is closed to them.

    One that belongs to somebody else is left as it is.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(0o777 & ~umask(), exist_ok=True)
    stat = folder.stat()
    mode = stat.st_mode & 0o7777
    if stat.st_uid == os.geteuid() and mode & umask():
        folder.chmod(mode & ~umask())


def in_store(name: str) -> str:
    """Return ``name`` if it can name one folder of a store.

    Raises SurroundingsError: study files are checked where they are read, so a name that leaves
    the store comes from a record that was damaged or made up.
    """
    if isinstance(name, str) and NAME.fullmatch(name):
        return name
    raise SurroundingsError(
        f"store: {name!r} is no name of a stage, job or study; a record of the store is damaged. "
        "See `ablate doctor`."
    )
