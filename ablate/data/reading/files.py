"""Rows of data files from anywhere: JSON, JSON lines, CSV and Parquet, plain or gzipped.

The files are untrusted: they are parsed and never executed, and whatever is wrong with one is said
with file and row.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from ablate.errors import StageError, SurroundingsError

Row = tuple[int, dict[str, Any]]
"""A row's number, from 1, and its columns."""

FORMATS = (".json", ".jsonl", ".csv", ".parquet")
MAX_LINE_CHARACTERS = 1 << 24
"""Longer lines are refused before they fill the memory."""
MAX_ARRAY_CHARACTERS = 1 << 30
"""The same for a JSON array, which is parsed as a whole."""


def resolve(name: str, location: str) -> Path:
    """Return the existing file behind a data set's name; ``location`` wins over the name itself."""
    path = Path(location or name).expanduser()
    if not path.exists():
        raise SurroundingsError(
            f"data set {name!r}: there is no file {str(path)!r}; a registry name or the path of a "
            f"{', '.join(FORMATS)} file is allowed. Check the path on this machine."
        )
    return path


def bad_row(path: Path, number: int, reason: str) -> StageError:
    """Return the error of a malformed row."""
    return StageError(f"{path}:{number}: {reason}", kind="bad_data")


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file, its format told by its name; raise at the first malformed one."""
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if kind not in FORMATS:
        raise SurroundingsError(
            f"{path}: the file name ends in {kind or path.suffix!r}; {', '.join(FORMATS)}, each "
            "also with .gz, are allowed. Rename or convert the file."
        )
    try:
        if kind == ".parquet":
            yield from _parquet_rows(path)
            return
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(
            path, "rt", encoding="utf-8-sig", newline="" if kind == ".csv" else None
        ) as file:
            lines = cast(TextIO, file)  # Mode "rt"; the union of the two openers hides it.
            yield from _csv_rows(path, lines) if kind == ".csv" else _json_rows(path, lines)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SurroundingsError(
            f"{path}: the file cannot be read ({error}); text in UTF-8, whole and with read "
            "permission, is needed. Copy the file again."
        ) from error


def _json_rows(path: Path, file: TextIO) -> Iterator[Row]:
    first = file.readline(MAX_LINE_CHARACTERS + 1)
    if first.lstrip().startswith("["):
        text = first + file.read(MAX_ARRAY_CHARACTERS)
        if len(text) > MAX_ARRAY_CHARACTERS:
            raise bad_row(path, 1, "the JSON array is too large. Use JSON lines.")
        rows = _parse(path, 1, text)
        for number, row in enumerate(rows, 1):
            yield number, _mapping(path, number, row)
        return
    number, line = 1, first
    while line:
        if len(line) > MAX_LINE_CHARACTERS:
            raise bad_row(path, number, f"the line is longer than {MAX_LINE_CHARACTERS} characters")
        if line.strip():
            yield number, _mapping(path, number, _parse(path, number, line))
        number, line = number + 1, file.readline(MAX_LINE_CHARACTERS + 1)


def _parse(path: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise bad_row(path, number, f"not valid JSON ({error})") from error


def _mapping(path: Path, number: int, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise bad_row(path, number, f"found {type(row).__name__}; a JSON object is needed")
    return row


def _csv_rows(path: Path, file: TextIO) -> Iterator[Row]:
    reader = csv.DictReader(file, strict=True)
    number = 1
    try:
        for number, row in enumerate(reader, 1):
            if None in row or None in row.values():
                raise bad_row(path, number, "the row has more or fewer cells than the header")
            yield number, row
    except csv.Error as error:
        raise bad_row(path, number, f"not valid CSV ({error})") from error


def _parquet_rows(path: Path) -> Iterator[Row]:
    # Loaded here because Arrow is heavy and most studies read no Parquet.
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except pyarrow.ArrowException as error:
        raise bad_row(path, number + 1, f"not valid Parquet ({error})") from error
