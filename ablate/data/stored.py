"""Records of a data artifact that are gone through again and again, and are never all in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

from ablate.data.artifacts import DEMONSTRATIONS, FEEDBACK, PAIRS, RANKINGS, read_records
from ablate.data.records import Demonstration, Feedback, Pair, Ranking

BLOCK = 1 << 20
Record = TypeVar("Record")


class Stored(Generic[Record]):
    """The records of one file of an artifact; every pass reads it again. No file is no records."""

    def __init__(self, folder: Path, name: str) -> None:
        """Stand for the records of ``folder / name``."""
        self._folder, self._name = folder, name

    def __iter__(self) -> Iterator[Record]:
        """Yield every record, in file order."""
        yield from read_records(self._folder, self._name)

    def __len__(self) -> int:
        """Return the records: a pass over the file that makes none of them."""
        if not self.size:
            return 0
        with open(self._folder / self._name, "rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))

    @property
    def size(self) -> int:
        """Return the bytes of the file."""
        path = self._folder / self._name
        return path.stat().st_size if path.exists() else 0


def stored_pairs(folder: Path) -> Stored[Pair]:
    """Return the pairs of a preference artifact."""
    return Stored(folder, PAIRS)


def stored_feedback(folder: Path) -> Stored[Feedback]:
    """Return the thumbs of a preference artifact."""
    return Stored(folder, FEEDBACK)


def stored_judgements(folder: Path) -> Stored[Pair | Feedback]:
    """Return the pairs of a preference artifact, or its thumbs where it has no pairs."""
    return Stored(folder, PAIRS if stored_pairs(folder).size else FEEDBACK)


def stored_rankings(folder: Path) -> Stored[Ranking]:
    """Return the rankings of a preference artifact."""
    return Stored(folder, RANKINGS)


def stored_demonstrations(folder: Path) -> Stored[Demonstration]:
    """Return the demonstrations of an artifact."""
    return Stored(folder, DEMONSTRATIONS)
