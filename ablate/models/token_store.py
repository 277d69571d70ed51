"""Token rows in flat arrays: mapped from an artifact that many jobs share, or built in memory.

A row is its parts one after the other, such as the prompt, the chosen and the rejected reply, so
that a prompt is there once for all replies to it. Part p of row r is segment ``r * parts + p``, and
segment s is ``tokens[offsets[s]:offsets[s + 1]]``. 500,000 pairs are some 300 MB in the files,
and what an opened table holds of them is small, however long they are.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from ablate.errors import StageError
from ablate.models.batching import row_lengths
from ablate.models.boundary import Row
from ablate.models.columns import SUFFIX, FileColumn, MakeColumn, MappedColumn, MemoryColumn

INDEX = "index.json"
FORMAT = 1
PAIRS = ("prompt", "chosen", "rejected")
DEMONSTRATIONS = ("prompt", "completion")
KINDS = {
    "pairs": PAIRS,
    "demonstrations": DEMONSTRATIONS,
    "feedback": DEMONSTRATIONS,
    "prompts": ("prompt",),
}
"""Parts of a row by what the rows are."""
WIDTHS = {"offsets": "i8", "margins": "f8", "ids": "u1", "id_offsets": "i8"}
"""Type of every column but ``tokens``, which has the smallest that holds the vocabulary."""
RELEASE_EVERY = 512
"""Segments read between two releases of a file's pages. A look at one maps 64 KiB around it, or
more with large pages: a pass over 0.4 GB peaked 85 to 180 MB above the imports, 136 to 346 MB with
2,048."""
Numbers = NDArray[np.int64]


class TokenTable:
    """Token ids of every part of every row, with the rows' ids and margins."""

    def __init__(
        self,
        kind: str,
        columns: Mapping[str, NDArray[Any]],
        *,
        mapped: MappedColumn | None = None,
        tokenizer: str = "",
    ) -> None:
        """Read from columns; ``mapped`` is the file behind the tokens where there is one."""
        self.kind, self.parts = kind, KINDS[kind]
        self.tokenizer = tokenizer
        """Identity of what made the ids, where they are stored."""
        self.tokens = columns["tokens"]
        """(tokens,) unsigned."""
        self.offsets: Numbers = columns["offsets"]
        """(rows * parts + 1,) where each segment starts, and where the last one ends."""
        self.margins: NDArray[np.float64] = columns["margins"]
        """(rows,) NaN where nobody said one; of feedback 1 for a thumb up and -1 for one down."""
        self._ids, self._id_offsets = columns["ids"], columns["id_offsets"]
        self._mapped, self._looks = mapped, 0

    def __len__(self) -> int:
        """Return the rows."""
        return len(self.margins)

    def id(self, row: int) -> str:
        """Return the id of a row."""
        start, stop = self._id_offsets[row : row + 2]
        return self._ids[start:stop].tobytes().decode(errors="surrogatepass")

    def lengths(self, part: str) -> Numbers:
        """Return the tokens of one part of every row, (rows,)."""
        at = self.parts.index(part)
        starts, stops = (self.offsets[at + i :: len(self.parts)][: len(self)] for i in (0, 1))
        return stops - starts

    def segment(self, number: int) -> tuple[int, ...]:
        """Return the token ids of a segment."""
        start, stop = self.offsets[number : number + 2].tolist()
        found = tuple(self.tokens[start:stop].tolist())
        self._looks += 1
        if self._mapped is not None and self._looks % RELEASE_EVERY == 0:
            self._mapped.release()
        return found

    def rows(self, completion: str, numbers: Numbers) -> StoredRows:
        """Return some rows' prompts, each with one of the other parts."""
        segments = numbers * len(self.parts)
        return StoredRows(self, segments, segments + self.parts.index(completion))


class StoredRows(Sequence[Row]):
    """Prompts and completions of a table, each made a `Row` when it is asked for."""

    def __init__(self, table: TokenTable, prompts: Numbers, completions: Numbers) -> None:
        """Put segments of a table together, one prompt and one completion a row."""
        self.table, self.prompts, self.completions = table, prompts, completions

    def __len__(self) -> int:
        """Return the rows."""
        return len(self.prompts)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> StoredRows: ...
    def __getitem__(self, index: int | slice) -> Row | StoredRows:
        """Return one row, or the rows of a slice."""
        if isinstance(index, slice):
            return StoredRows(self.table, self.prompts[index], self.completions[index])
        return Row(
            self.table.segment(int(self.prompts[index])),
            self.table.segment(int(self.completions[index])),
        )

    def __add__(self, other: StoredRows) -> StoredRows:
        """Return these rows and then others of the same table."""
        if other.table is not self.table:
            raise ValueError("rows of two tables cannot be put together")
        return StoredRows(
            self.table,
            np.concatenate([self.prompts, other.prompts]),
            np.concatenate([self.completions, other.completions]),
        )

    def take(self, numbers: Sequence[int] | Numbers) -> StoredRows:
        """Return the rows of some numbers, in their order."""
        index = np.asarray(numbers, dtype=np.int64)
        return StoredRows(self.table, self.prompts[index], self.completions[index])

    def crossed(self, prompts: Numbers, completions: Numbers) -> StoredRows:
        """Return the prompts of some of these rows, each with the completion of another."""
        return StoredRows(self.table, self.prompts[prompts], self.completions[completions])

    def lengths(self) -> Numbers:
        """Return prompt plus completion tokens of each row, (rows,)."""
        return self._sizes(self.prompts) + self.completion_lengths()

    def completion_lengths(self) -> Numbers:
        """Return completion tokens of each row, (rows,)."""
        return self._sizes(self.completions)

    def _sizes(self, segments: Numbers) -> Numbers:
        offsets = self.table.offsets
        found: Numbers = offsets[segments + 1] - offsets[segments]
        return found


class StoredPrompts(Sequence[tuple[int, ...]]):
    """Prompts of a table, read when they are asked for."""

    def __init__(self, table: TokenTable, numbers: Numbers) -> None:
        """Take the prompts of some rows."""
        self._table, self._segments = table, numbers * len(table.parts)

    def __len__(self) -> int:
        """Return the prompts."""
        return len(self._segments)

    @overload
    def __getitem__(self, index: int) -> tuple[int, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[int, ...]]: ...
    def __getitem__(self, index: int | slice) -> tuple[int, ...] | list[tuple[int, ...]]:
        """Return the token ids of one prompt, or of those of a slice."""
        if isinstance(index, slice):
            return [self._table.segment(number) for number in self._segments[index].tolist()]
        return self._table.segment(int(self._segments[index]))


def joined(first: Sequence[Row], second: Sequence[Row]) -> Sequence[Row]:
    """Return some rows and then others; stored ones of one table are not read."""
    if isinstance(first, StoredRows) and isinstance(second, StoredRows):
        return first + second
    return [*first, *second]


def lengths_of(rows: Sequence[Row]) -> Numbers:
    """Return prompt plus completion tokens of each row, (rows,), without reading stored ones."""
    if isinstance(rows, StoredRows):
        return rows.lengths()
    return np.array(row_lengths(rows), dtype=np.int64)


def completion_lengths_of(rows: Sequence[Row]) -> Numbers:
    """Return completion tokens of each row, (rows,), without reading stored ones."""
    if isinstance(rows, StoredRows):
        return rows.completion_lengths()
    return np.array([len(row.completion) for row in rows], dtype=np.int64)


@dataclass(frozen=True)
class Batch:
    """Rows on their way into a table."""

    ids: Sequence[str]
    parts: Sequence[Sequence[Sequence[int]]]
    """Token ids of each row, part by part."""
    margins: Sequence[float | None]


class TableWriter:
    """Writes a table's columns batch by batch, and never holds more than a batch."""

    def __init__(self, kind: str, *, vocabulary: int, make: MakeColumn = MemoryColumn) -> None:
        """Start a table of rows of a kind, whose token ids are below ``vocabulary``."""
        self.kind = kind
        self._token = np.uint16 if vocabulary <= 1 << 16 else np.uint32
        self._columns = {name: make(name, dtype) for name, dtype in WIDTHS.items()}
        self._columns["tokens"] = make("tokens", self._token)
        self._ends = {"offsets": 0, "id_offsets": 0}
        for name in self._ends:
            self._columns[name].append(np.zeros(1, dtype=np.int64))
        self.rows = 0
        """Rows so far."""

    def add(self, batch: Batch) -> None:
        """Append rows; raise ValueError where one has other parts than the table's."""
        if any(len(row) != len(KINDS[self.kind]) for row in batch.parts):
            raise ValueError(f"{self.kind}: every row needs {', '.join(KINDS[self.kind])}")
        segments = [segment for row in batch.parts for segment in row]
        flat = itertools.chain.from_iterable(segments)
        self._columns["tokens"].append(np.fromiter(flat, dtype=self._token))
        self._advance("offsets", [len(segment) for segment in segments])
        spelled = [name.encode(errors="surrogatepass") for name in batch.ids]
        self._columns["ids"].append(np.frombuffer(b"".join(spelled), dtype=np.uint8))
        self._advance("id_offsets", [len(name) for name in spelled])
        unsaid = [np.nan if margin is None else margin for margin in batch.margins]
        self._columns["margins"].append(np.array(unsaid, dtype=np.float64))
        self.rows += len(batch.ids)

    @property
    def tokens(self) -> int:
        """Return the tokens so far."""
        return self._ends["offsets"]

    def close(self) -> None:
        """Finish every column."""
        for column in self._columns.values():
            column.close()

    def table(self) -> TokenTable:
        """Finish every column and return the rows, read-only."""
        self.close()
        return TokenTable(self.kind, {name: col.read() for name, col in self._columns.items()})

    def _advance(self, name: str, lengths: Sequence[int]) -> None:
        ends = np.cumsum(np.array(lengths, dtype=np.int64)) + self._ends[name]
        self._columns[name].append(ends)
        self._ends[name] = int(ends[-1]) if len(ends) else self._ends[name]


class StoreWriter(TableWriter):
    """Writes a table as the files of a folder; they are closed where the block ends."""

    def __init__(self, folder: Path, kind: str, *, vocabulary: int) -> None:
        """Start the files of a table in a folder that has none."""
        super().__init__(kind, vocabulary=vocabulary, make=partial(_file_column, folder))
        self._folder = folder

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close every file; without `finish` they are no table."""
        self.close()

    def finish(self, *, tokenizer: str, source_bytes: int) -> None:
        """Finish the files; say what made the ids, and the size of the file they were made of."""
        self.close()
        index = {
            "format": FORMAT,
            "kind": self.kind,
            "rows": self.rows,
            "source_bytes": source_bytes,
            "tokenizer": tokenizer,
            "tokens": self.tokens,
        }
        text = json.dumps(index, indent=1) + "\n"
        (self._folder / INDEX).write_text(text, encoding="utf-8")


def _file_column(folder: Path, name: str, dtype: Any) -> FileColumn:
    return FileColumn(folder / (name + SUFFIX), dtype)


def open_table(folder: Path, *, kind: str, source_bytes: int) -> TokenTable:
    """Return the table of a folder, its files mapped.

    Raises StageError (``bad_data``) where the files are damaged, hold another kind of rows, or were
    made of a file of records of another size.
    """
    needed = {"format": FORMAT, "kind": kind, "source_bytes": source_bytes}
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        found = {name: index[name] for name in (*needed, "rows", "tokenizer")}
        mapped = {name: MappedColumn(folder / (name + SUFFIX)) for name in (*WIDTHS, "tokens")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unusable(folder, f"its files cannot be read: {error}") from error
    for name, value in needed.items():
        if found[name] != value:
            raise _unusable(folder, f"{name} is {found[name]!r}; {value!r} is needed")
    columns = {name: column.values for name, column in mapped.items()}
    _check(folder, columns, rows=found["rows"], parts=len(KINDS[kind]))
    return TokenTable(kind, columns, mapped=mapped["tokens"], tokenizer=found["tokenizer"])


def _check(folder: Path, columns: Mapping[str, NDArray[Any]], *, rows: int, parts: int) -> None:
    """Refuse columns that do not belong together: offsets would point outside of the tokens."""
    ends = {"offsets": (rows * parts, "tokens"), "id_offsets": (rows, "ids")}
    for name, (segments, values) in ends.items():
        offsets = columns[name]
        if (
            len(offsets) != segments + 1
            or offsets[0] != 0
            or offsets[-1] != len(columns[values])
            or (np.diff(offsets) < 0).any()
        ):
            raise _unusable(folder, f"{name} do not divide its {values} into {segments} parts")
    if len(columns["margins"]) != rows:
        raise _unusable(folder, f"it has {len(columns['margins'])} margins of {rows} rows")


def _unusable(folder: Path, found: str) -> StageError:
    return StageError(
        f"tokens: {str(folder)!r}: {found}. Run the tokens stage again.", kind="bad_data"
    )
