"""What shaping did to a data set: counts before and after, and a line for each row left out."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from ablate.data.records import Dropped
from ablate.data.shaping.items import Item, row_number, source_of


@dataclass
class Count:
    """How many rows a step saw, left and changed."""

    step: str
    """Name of the filter, or ``cap``, ``examples`` or ``mix``; a filter used twice has two."""
    before: int = 0
    after: int = 0
    changed: int = 0
    """Rows that were kept with another text."""


@dataclass(frozen=True)
class Share:
    """What one part gave to a mixture."""

    source: str
    available: int
    """Rows of the part that the filters left."""
    asked: int
    """Rows that its weight, its ``examples`` or nothing (all) asks for."""
    given: int
    """Rows that went in; fewer than asked where the part is too small."""


@dataclass
class Ledger:
    """Counts in memory, names on disk: ``{"row": 12, "source": "x", "reason": "filter:length"}``.

    Rows that a cap, a subsample or a mixture leaves out are counted as a step and not named: they
    are left out by chance and not for what they hold.
    """

    path: Path | None = None
    """JSON lines file for the rows left out; None keeps counts only."""
    read: Counter[str] = field(default_factory=Counter)
    """Usable rows that came in, by source."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Rows left out, by reason."""
    steps: list[Count] = field(default_factory=list)
    """In the order of the work."""
    shares: list[Share] = field(default_factory=list)
    """One for each part of a mixture, in its order; empty for a single data set."""
    _file: TextIO | None = None

    def __enter__(self) -> Self:
        """Open the file anew."""
        if self.path is not None:
            self._file = open(self.path, "w", encoding="utf-8", newline="\n")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def step(self, name: str) -> Count:
        """Return the counts of a new step."""
        self.steps.append(Count(name))
        return self.steps[-1]

    def drop(self, row: Dropped, source: str) -> None:
        """Count and name a row that a reader or a converter left out."""
        self.dropped[row.reason] += 1
        if self._file is not None:
            line = {"row": row.row, "source": source, "reason": row.reason}
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def filtered(self, item: Item, step: str) -> None:
        """Count and name a row that a filter left out."""
        self.drop(Dropped(row_number(item), f"filter:{step}"), source_of(item))

    def as_json(self) -> dict[str, object]:
        """Return what a summary holds: rows read by source, dropped, steps and shares."""
        return {
            "read": dict(sorted(self.read.items())),
            "dropped": dict(sorted(self.dropped.items())),
            "steps": [vars(count) for count in self.steps],
            "shares": [vars(share) for share in self.shares],
        }
