"""What the rows of any table hold: its columns, their lengths and values, and repeated rows.

For files whose columns are no layout of ours as well: benchmarks, annotations, leaderboards.
"""

from __future__ import annotations

import json
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from ablate.data.reading.limits import Row

MOST_VALUES = 12
"""A column with more different values than this is no set of classes, so they are not listed."""
LONGEST_VALUE = 24
"""Characters of a text that still may be the name of a class."""
NAMED = 8
"""First rows of a kind that are named by number."""
_DRAWS = {0.0, 1.5}
_ANNOTATED = {1.0, 2.0}
"""AlpacaEval's annotations: 1 and 2 say which output is better; a draw is 0 (older) or 1.5."""


@dataclass
class Named:
    """A count, and the first rows behind it."""

    count: int = 0
    rows: list[int] = field(default_factory=list)
    """Numbers of the first rows, from 1."""

    def add(self, row: int) -> None:
        """Count a row."""
        self.count += 1
        if len(self.rows) < NAMED:
            self.rows.append(row)


@dataclass(frozen=True)
class Lengths:
    """Lengths of texts; NaN where there is none."""

    texts: int
    mean: float
    median: float
    p95: float
    max: float

    @classmethod
    def of(cls, values: Iterable[int]) -> Lengths:
        """Return the summary of some lengths; quantiles are values that occur."""
        ordered = sorted(values)
        if not ordered:
            return cls(0, *[math.nan] * 4)
        last = len(ordered) - 1
        middle, high = ordered[last // 2], ordered[math.ceil(0.95 * last)]
        return cls(len(ordered), math.fsum(ordered) / len(ordered), middle, high, ordered[-1])


@dataclass
class Column:
    """What is known of one column."""

    name: str
    types: Counter[str] = field(default_factory=Counter)
    """Rows by what they hold: text, number, true/false, messages, list, object."""
    nulls: Named = field(default_factory=Named)
    """Rows in which it is null or a number that is not finite."""
    empty: Named = field(default_factory=Named)
    """Rows in which it is a text of blanks only."""
    values: dict[str, Named] | None = field(default_factory=dict)
    """Rows by value; None where it has too many different ones, or long texts."""
    words: array[int] = field(default_factory=lambda: array("Q"))
    characters: array[int] = field(default_factory=lambda: array("Q"))

    @property
    def present(self) -> int:
        """Return the rows that have it, null or not."""
        return self.types.total() + self.nulls.count

    def add(self, row: int, value: object) -> None:
        """Count one row's value."""
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            self.nulls.add(row)
            return
        self.types[type_of(value)] += 1
        texts = list(texts_in(value))
        if isinstance(value, str) and not value.strip():
            self.empty.add(row)
        if texts:
            self.words.append(sum(len(text.split()) for text in texts))
            self.characters.append(sum(map(len, texts)))
        self._count_value(row, value)

    def _count_value(self, row: int, value: object) -> None:
        if self.values is None:
            return
        if not isinstance(value, str | int | float) or len(shown := written(value)) > LONGEST_VALUE:
            self.values = None
            return
        self.values.setdefault(shown, Named()).add(row)
        if len(self.values) > MOST_VALUES:
            self.values = None


class Survey:
    """Counts of a table, built row by row; memory is 24 bytes a text and 150 a row."""

    def __init__(self, *, examples: int = 1) -> None:
        """Keep this many of the first rows as examples."""
        self.rows = 0
        self.columns: dict[str, Column] = {}
        self.repeats: list[tuple[int, int]] = []
        """Rows that equal an earlier one in every column, and that earlier one."""
        self.examples: list[Mapping[str, Any]] = []
        self._wanted = examples
        self._seen: dict[bytes, int] = {}

    def add(self, number: int, row: Mapping[str, Any]) -> None:
        """Count one row."""
        self.rows += 1
        if len(self.examples) < self._wanted:
            self.examples.append(row)
        for name, value in row.items():
            if name not in self.columns:
                self.columns[name] = Column(name)
            self.columns[name].add(number, value)
        key = _digest(row)
        first = self._seen.setdefault(key, number)
        if first != number:
            self.repeats.append((number, first))

    def absent(self, column: Column) -> int:
        """Return the rows that lack a column altogether."""
        return self.rows - column.present

    def notes(self) -> Iterator[str]:
        """Yield what a reader of this table must know: how draws and missing labels are written."""
        column = self.columns.get("preference")
        found = _numbers(column)
        if column is None or not found or not found.keys() <= _DRAWS | _ANNOTATED:
            return
        draws = {value: found[value] for value in sorted(_DRAWS & found.keys())}
        if draws:
            total = sum(named.count for named in draws.values())
            ways = " and ".join(
                f"{value:g} {named.count:,} times ({row_list(named)})"
                for value, named in draws.items()
            )
            yield f"preference: {total:,} draws, written {ways}"
        if column.nulls.count:
            shown = row_list(column.nulls)
            yield f"preference: {column.nulls.count:,} null, which are no annotations: {shown}"


def written(value: str | int | float) -> str:
    """Return a value as it is listed; 2 and 2.0 are one number."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def surveyed(rows: Iterable[Row], survey: Survey) -> Iterator[Row]:
    """Yield the rows as they are, each counted."""
    for number, row in rows:
        survey.add(number, row)
        yield number, row


def row_list(named: Named) -> str:
    """Return ``rows 3, 17, 20, …``."""
    more = ", …" if named.count > len(named.rows) else ""
    word = "row" if named.count == 1 else "rows"
    return f"{word} {', '.join(map(str, named.rows))}{more}"


def type_of(value: object) -> str:
    """Return what a value is, in words; messages are a list of objects with a role."""
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, Mapping):
        return "message" if {"role", "from"} & value.keys() else "object"
    if isinstance(value, list | tuple):
        kinds = {type_of(item) for item in value}
        if kinds == {"message"}:
            return "messages"
        return f"list of {kinds.pop().split()[0]}s" if len(kinds) == 1 else "list"
    return type(value).__name__


def texts_in(value: object, *, depth: int = 8) -> Iterator[str]:
    """Yield the texts inside a value, roles of messages apart."""
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, Mapping):
        for name, inner in value.items():
            if name not in ("role", "from"):
                yield from texts_in(inner, depth=depth - 1)
    elif depth and isinstance(value, list | tuple):
        for inner in value:
            yield from texts_in(inner, depth=depth - 1)


def _numbers(column: Column | None) -> dict[float, Named]:
    if column is None or column.values is None or set(column.types) != {"number"}:
        return {}
    return {float(value): named for value, named in column.values.items()}


def _digest(row: Mapping[str, Any]) -> bytes:
    text = json.dumps(row, sort_keys=True, default=str)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
