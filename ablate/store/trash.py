"""What was set aside: moved by one rename, with a record of where it was, so that it can go back.

``<store>/trash/<id>/record.json`` and ``<store>/trash/<id>/content``.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ablate.errors import SurroundingsError
from ablate.store.files import read_json, surroundings, sync_folder, write_json
from ablate.store.privacy import NAME, make_private
from ablate.store.usage import disk_usage

PLACES = ("artifacts", "attempts", "studies", "pruned")
"""Folders of a store from which things are set aside, and to which they can go back."""
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


@dataclass(frozen=True)
class TrashEntry:
    """One thing that was set aside."""

    id: str
    """Name of its folder in the trash."""
    origin: str
    """Where it was, relative to the store; empty where that is not known."""
    why: str
    """Reason, as a clause."""
    when: float
    """Seconds since the epoch."""
    bytes: int
    """Of disk, as ``du`` counts."""
    batch: str = ""
    """What was set aside together by one command; empty for what the store set aside itself."""


class Trash:
    """The trash of one store."""

    def __init__(self, root: Path) -> None:
        """Belong to the store at ``root``."""
        self._store = root
        self.folder = root / "trash"

    def put(self, path: Path, *, why: str = "", batch: str = "") -> TrashEntry:
        """Move ``path`` here; it vanishes from its place in one step."""
        identity = f"{path.parent.name}-{path.name}-{time.time_ns()}"
        size = disk_usage(path)
        entry = TrashEntry(identity, self._origin(path), why, time.time(), size, batch)
        with surroundings(path):
            make_private(self.folder)
            place = self.folder / identity
            try:
                place.mkdir()
                write_json(place / "record.json", asdict(entry), durable=False)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                # A full disk takes no record, and what is damaged must go all the same.
                shutil.rmtree(place, ignore_errors=True)
                os.rename(path, place)
            else:
                os.rename(path, place / "content")
        return entry

    def entries(self) -> list[TrashEntry]:
        """Return what is here, oldest first; what has no readable record has no origin."""
        found = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.is_symlink() or path.is_dir():
                found.append(_entry(path))
        return sorted(found, key=lambda entry: (entry.when, entry.id))

    def restore(self, entry: TrashEntry) -> Path:
        """Move something back to where it was and return that place.

        Raises SurroundingsError where the place is taken, or where the record names none in this
        store.
        """
        target, content = self._place(entry), self.folder / entry.id / "content"
        with surroundings(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                if target.is_symlink() or (target.exists() and not target.is_dir()):
                    raise FileExistsError(errno.EEXIST, "taken", str(target))
                # A folder only takes the place of none, or of an empty one.
                os.rename(content, target)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
                raise SurroundingsError(
                    f"{entry.origin}: its place is taken again, so it stays in the trash as "
                    f"{entry.id}."
                ) from None
            sync_folder(target.parent)
        shutil.rmtree(self.folder / entry.id, ignore_errors=True)
        return target

    def delete(self, entries: Iterable[TrashEntry]) -> list[TrashEntry]:
        """Delete for good; return what is gone now.

        On a network file system an open file keeps its folder; that goes with the next call.
        """
        gone = []
        for entry in entries:
            path = self.folder / entry.id
            if path.is_symlink():
                path.unlink(missing_ok=True)
            shutil.rmtree(path, ignore_errors=True)
            if not path.exists():
                gone.append(entry)
        return gone

    def _origin(self, path: Path) -> str:
        try:
            return path.relative_to(self._store).as_posix()
        except ValueError:
            return ""

    def _place(self, entry: TrashEntry) -> Path:
        parts = PurePosixPath(entry.origin).parts
        right = bool(parts) and parts[0] in PLACES and all(NAME.fullmatch(part) for part in parts)
        target = self._store.joinpath(*parts) if right else self._store
        inside = self._store.resolve() in target.parent.resolve().parents or (
            target.parent.resolve() == self._store.resolve()
        )
        if not right or len(parts) < 2 or not inside:
            raise SurroundingsError(
                f"trash/{entry.id}: its record names no place of this store ({entry.origin!r}). "
                "Move it by hand, or leave it."
            )
        return target


def _entry(path: Path) -> TrashEntry:
    record: Any = None if path.is_symlink() else read_json(path / "record.json")
    try:
        return TrashEntry(
            id=path.name,
            origin=str(record["origin"]),
            why=str(record["why"]),
            when=float(record["when"]),
            bytes=int(record["bytes"]),
            batch=str(record.get("batch", "")),
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        return TrashEntry(path.name, "", "", path.lstat().st_mtime, disk_usage(path))
