"""Rows on disk while it is open which of them are kept: memory holds where each one is."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from ablate.data.shaping.items import Item, from_json, to_json

Row = tuple[int, Item]
"""A row and which of the sources it came from, from 0."""


class Spool:
    """A file of rows, written once and then read in any order; it goes when the block ends."""

    def __init__(self, path: Path) -> None:
        """Make the file, or begin it anew where an earlier attempt left it."""
        self.path = path
        self._file = open(path, "w+b")
        self._ends = array("q", [0])
        self._sources = array("i")

    def __enter__(self) -> Self:
        """Return the spool."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._sources)

    def add(self, source: int, item: Item) -> None:
        """Write a row to the end."""
        written = self._file.write(to_json(item).encode() + b"\n")
        self._ends.append(self._ends[-1] + written)
        self._sources.append(source)

    def at(self, index: int) -> Row:
        """Return one row."""
        start, end = self._ends[index], self._ends[index + 1]
        return self._sources[index], from_json(os.pread(self._file.fileno(), end - start, start))

    def rows(self, indices: Iterable[int]) -> Iterator[Row]:
        """Yield some rows, in the order asked for."""
        self._file.flush()
        return map(self.at, indices)

    def sizes(self, sources: int) -> list[int]:
        """Return how many rows each of so many sources has."""
        return [self._sources.count(source) for source in range(sources)]
