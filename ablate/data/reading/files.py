"""Rows of data files from anywhere: JSON, JSON lines, CSV (plain or gzipped), Parquet and Arrow.

The files are untrusted: they are parsed and never executed, a row costs bounded memory whatever it
claims, and whatever is wrong with one is said with file and row.
"""

from __future__ import annotations

import gzip
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, cast, overload

from ablate.data.reading.arrow_rows import arrow_rows, parquet_rows
from ablate.data.reading.csv_rows import csv_rows
from ablate.data.reading.json_rows import json_rows
from ablate.data.reading.limits import LIMITS, Bad, BadFile, Limits, Row, bad_row
from ablate.data.records import Dropped
from ablate.errors import SurroundingsError

__all__ = ["FORMATS", "Row", "bad_row", "read_rows", "resolve"]

FORMATS = (".json", ".jsonl", ".csv", ".parquet", ".arrow")
MALFORMED = "malformed"
"""Reason of a row that was skipped because it cannot be read."""
_TEXT = {".json": json_rows, ".jsonl": json_rows, ".csv": csv_rows}
_BINARY = {".parquet": parquet_rows, ".arrow": arrow_rows}
_SNIFFED = 4096
_SIGNATURES = (
    *(
        (b"\x80" + bytes([protocol]), "a Python pickle, which is never opened")
        for protocol in range(6)
    ),
    (b"\x1f\x8b", "gzip data; add .gz to the name"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PAR1", "Parquet; let the name end in .parquet"),
    (b"ARROW1", "Arrow; let the name end in .arrow"),
    (b"\xff\xfe", "UTF-16 or UTF-32"),
    (b"\xfe\xff", "UTF-16"),
)
"""First bytes of what is sometimes given the ending of a text file."""


def resolve(name: str, location: str) -> Path:
    """Return the existing file behind a data set's name; ``location`` wins over the name itself."""
    path = Path(location or name).expanduser()
    if not path.exists():
        raise SurroundingsError(
            f"data set {name!r}: there is no file {str(path)!r}; a registry name or the path of a "
            f"{', '.join(FORMATS)} file is allowed. Check the path on this machine."
        )
    return path


def format_of(path: Path) -> str:
    """Return the format that a file's name tells, such as ``.jsonl``; empty for an unknown one."""
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    return kind if kind in _TEXT or (kind in _BINARY and path.suffix != ".gz") else ""


@overload
def read_rows(path: Path, *, limits: Limits = LIMITS) -> Iterator[Row]: ...
@overload
def read_rows(
    path: Path, *, on_bad_row: Literal["refuse"], limits: Limits = LIMITS
) -> Iterator[Row]: ...
@overload
def read_rows(
    path: Path, *, on_bad_row: Literal["refuse", "skip"], limits: Limits = LIMITS
) -> Iterator[Row | Dropped]: ...


def read_rows(
    path: Path, *, on_bad_row: Literal["refuse", "skip"] = "refuse", limits: Limits = LIMITS
) -> Iterator[Row | Dropped]:
    """Yield the rows of a file, its format told by its name.

    A malformed row raises StageError; where it is to be skipped, it comes as `Dropped`. A file that
    cannot be read on raises in either case.
    """
    kind = format_of(path)
    if not kind:
        raise SurroundingsError(
            f"{path}: the file name ends in {path.suffix!r}; {', '.join(FORMATS)}, of text "
            "also with .gz, are allowed. Rename or convert the file."
        )
    _check_regular(path)
    rows = _BINARY[kind](path, limits) if kind in _BINARY else _text_rows(path, kind, limits)
    try:
        for row in rows:
            if not isinstance(row, Bad):
                yield row
            elif on_bad_row == "skip":
                yield Dropped(row.row, MALFORMED)
            else:
                raise bad_row(path, row.row, row.reason)
    except BadFile as error:
        raise bad_row(path, error.row, str(error)) from error
    except (OSError, EOFError, zlib.error) as error:
        raise SurroundingsError(
            f"{path}: the file cannot be read ({error}); a whole file with read permission is "
            "needed. Copy the file again."
        ) from error


def _text_rows(path: Path, kind: str, limits: Limits) -> Iterator[Row | Bad]:
    opened = gzip.open(path) if path.suffix == ".gz" else open(path, "rb")
    with opened as file:
        head = file.peek(_SNIFFED)[:_SNIFFED]
        found = next((what for start, what in _SIGNATURES if head.startswith(start)), "")
        if not found and b"\0" in head:
            found = "NUL bytes, as binary files and UTF-16 have them"
        if found:
            raise SurroundingsError(
                f"{path}: the file cannot be read (found {found}); {kind[1:]} in UTF-8 is needed. "
                "Convert the file."
            )
        yield from _TEXT[kind](cast(BinaryIO, file), limits)


def _check_regular(path: Path) -> None:
    """Refuse what is no file before it is opened: a FIFO would block for ever."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise SurroundingsError(
            f"{path}: the file cannot be read ({error.strerror}). Check the path on this machine."
        ) from error
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise SurroundingsError(f"{path}: the file cannot be read (it is {what}). Name a file.")
