"""Records of a data artifact, read line by line: never more than one is in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from ablate.data.artifacts import DEMONSTRATIONS, PAIRS
from ablate.data.records import Demonstration, Pair

BLOCK = 1 << 20
Record = TypeVar("Record")


class Stored(Generic[Record]):
    """The records of a file; every pass over them reads it again."""

    def __init__(self, path: Path, make: Callable[[Mapping[str, Any]], Record]) -> None:
        """Read lines of ``path``, each of which ``make`` makes a record."""
        self._path, self._make = path, make

    def __iter__(self) -> Iterator[Record]:
        """Yield every record, in file order."""
        with open(self._path, encoding="utf-8") as file:
            for line in file:  # Not splitlines, which also splits at U+2028 inside a reply.
                yield self._make(json.loads(line))

    def __len__(self) -> int:
        """Return the records: a pass over the file that makes none of them."""
        with open(self._path, "rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))


def stored_pairs(folder: Path) -> Stored[Pair]:
    """Return the pairs of a preference artifact."""
    return Stored(folder / PAIRS, _pair)


def stored_demonstrations(folder: Path) -> Stored[Demonstration]:
    """Return the demonstrations of an artifact."""
    return Stored(folder / DEMONSTRATIONS, _demonstration)


def _pair(row: Mapping[str, Any]) -> Pair:
    return Pair(**{**row, "prompt": tuple(row["prompt"])})


def _demonstration(row: Mapping[str, Any]) -> Demonstration:
    return Demonstration(**{**row, "prompt": tuple(row["prompt"])})
