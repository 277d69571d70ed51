"""Small durable file operations: written whole or not at all, and read without surprises."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ablate.errors import SurroundingsError

AT_ONCE_BYTES = 1 << 16
"""Files up to this size are read whole to be hashed; also how much is read at once."""
REMEDIES = {
    errno.ENOSPC: "the disk is full. Free some space and run the same command again.",
    errno.EDQUOT: "the disk quota is used up. Free some space and run the same command again.",
    errno.EROFS: "the file system is read-only. Choose another store or remount it.",
    errno.EACCES: "permission is denied. Choose another store or change its permissions.",
    errno.EPERM: "permission is denied. Choose another store or change its permissions.",
    errno.ENOTDIR: "a file is where a folder is needed. Remove it or choose another store.",
    errno.EEXIST: "a file is where a folder is needed. Remove it or choose another store.",
    errno.EIO: "the disk reports an input/output error. Check the disk.",
    errno.ENOLCK: "the file system has no locks. Put the store on a local disk.",
    errno.EMFILE: "too many files are open. Raise the limit with `ulimit -n`.",
}
"""What the user can do about an operating system error, by number."""


@contextmanager
def surroundings(path: Path) -> Iterator[None]:
    """Turn an operating system error that the user can mend into a SurroundingsError."""
    try:
        yield
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        raise SurroundingsError(f"{error.filename or path}: {REMEDIES[error.errno]}") from error


def write_atomic(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace ``path`` by ``data``: a reader or a crash meets the old bytes or the new ones.

    With ``durable`` the bytes and the name survive a power cut.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def write_json(path: Path, value: object, *, durable: bool = True) -> None:
    """Replace ``path`` atomically by the JSON text of ``value``; NaN is refused."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    write_atomic(path, text.encode(), durable=durable)


def read_json(path: Path) -> Any:
    """Return the value in ``path``, or None where the file is missing or torn."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


SEAL = b', "seal": "'
"""Start of a sealed file's last field."""


def write_sealed(path: Path, record: Mapping[str, Any], *, durable: bool = True) -> None:
    """Write ``record`` as JSON with the hash of its own text, which finds a byte that changed."""
    text = json.dumps(record, allow_nan=False, ensure_ascii=False).encode()
    seal = hashlib.sha256(text).hexdigest().encode()
    write_atomic(path, text[:-1] + SEAL + seal + b'"}', durable=durable)


def read_sealed(path: Path | str) -> Any:
    """Return what `write_sealed` wrote, without its seal; None where the file was changed since.

    A file without a seal, such as one of an earlier version, is read as it is.
    """
    try:
        text, seal, digest = _content(path).rpartition(SEAL)
        if not seal:
            return json.loads(digest)
        text += b"}"
        intact = hashlib.sha256(text).hexdigest().encode() + b'"}' == digest
        return json.loads(text) if intact else None
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(path: str, size: int) -> str:
    """Return what `sha256` does of a file of a known size; small ones take a third of the time."""
    if size > AT_ONCE_BYTES:
        return sha256(Path(path))
    return hashlib.sha256(_content(path)).hexdigest()


def _content(path: Path | str) -> bytes:
    """Return a file's bytes by bare system calls: for very many small files, half of the time."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = [os.read(descriptor, AT_ONCE_BYTES)]
        while parts[-1]:
            parts.append(os.read(descriptor, AT_ONCE_BYTES))
        return b"".join(parts)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path, *, least_bytes: int = 0) -> None:
    """Make every file and name below ``folder`` survive a power cut.

    With ``least_bytes`` only the bytes of files of at least this size.
    """
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(parent, name)
            if path.stat().st_size >= least_bytes:
                sync_folder(path)  # fsync takes a file as well as a folder
        if not least_bytes:
            sync_folder(Path(parent))


def tree_files(folder: Path) -> dict[str, Path]:
    """Return every regular file below ``folder`` by its POSIX path relative to it, sorted.

    Raises ValueError at a link or a special file: its content is not the folder's own.
    """
    return {name: Path(place) for name, place in tree_places(folder).items()}


def tree_places(folder: Path | str) -> dict[str, str]:
    """Return what `tree_files` does as plain text: for very many folders, paths cost too much."""
    found: dict[str, str] = {}
    pending = [("", os.fspath(folder))]
    while pending:
        prefix, place = pending.pop()
        for entry in _entries(place):
            relative = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                pending.append((f"{relative}/", entry.path))
            elif entry.is_file(follow_symlinks=False):
                found[relative] = entry.path
            else:
                raise ValueError(f"{relative}: not a regular file; an artifact holds only those")
    return dict(sorted(found.items()))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:  # A folder that is gone or closed holds nothing.
        return []
