"""Lines of text files whose lines may have any length and any bytes."""

from __future__ import annotations

from typing import BinaryIO

from ablate.data.reading.columns import MalformedRow
from ablate.data.reading.limits import BadFile, Limits, too_long

BOM = b"\xef\xbb\xbf"
_SKIPPED_AT_ONCE = 1 << 20
MOST_EMPTY = 1 << 20
"""Empty lines in a row that are passed over: gzip holds a thousand million of them in 2 MB."""


class Lines:
    """An iterator over decoded lines that can go on after a bad one.

    A line that is too long or not UTF-8 raises MalformedRow; the next call gives the line after it.
    A file of empty lines raises BadFile.
    """

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        """Read from where the file stands."""
        self._file = file
        self._limits = limits
        self._unfinished = False
        self._empty = 0
        self.number = 0
        """Of the last line, from 1."""
        self.held = 0
        """Bytes given since whoever reads set this to 0; they are limited like a single line."""

    def __iter__(self) -> Lines:
        """Return itself."""
        return self

    def __next__(self) -> str:
        """Return the next line with its end of line."""
        while self._unfinished:
            # Only now: whoever stops at the bad line need not wait for its end.
            rest = self._file.readline(_SKIPPED_AT_ONCE)
            self._unfinished = bool(rest) and not rest.endswith(b"\n")
        line = self._file.readline(self._limits.row_bytes + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self.held += len(line)
        self._empty = 0 if line.strip() else self._empty + 1
        if self._empty > MOST_EMPTY:
            raise BadFile(self.number, f"more than {MOST_EMPTY} empty lines follow each other")
        if self.held > self._limits.row_bytes:
            self._unfinished = not line.endswith(b"\n")
            raise MalformedRow(too_long(self._limits))
        if self.number == 1:
            line = line.removeprefix(BOM)
        return decoded(line)


def decoded(line: bytes) -> str:
    """Return text in UTF-8, which has no NUL byte."""
    if (place := line.find(b"\0")) >= 0:
        raise MalformedRow(f"byte 0x00 at place {place + 1} of the line is no text. Remove it.")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise MalformedRow(
            f"byte {line[error.start]:#04x} at place {error.start + 1} of the line is not UTF-8 "
            f"({error.reason}); UTF-8 is needed. Convert the file."
        ) from error
