"""Rows of Parquet and Arrow files, decoded in batches whose size is known before it is spent."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.data.reading.arrow_sizes import size_of, strange_type
from ablate.data.reading.limits import (
    Bad,
    BadFile,
    Limits,
    Row,
    too_long,
    too_many_values,
    too_wide,
)
from ablate.data.reading.memory import headroom

if TYPE_CHECKING:
    import pyarrow  # type: ignore[import-untyped]  # Heavy, and most studies read no Parquet.

BATCH = 1024
"""Rows decoded at once, fewer where they are long."""
_NOTABLE = 1 << 26
"""Bytes that a small file may always claim to hold."""
_ARROW_FILE = b"ARROW1\0\0"


def parquet_rows(path: Path, limits: Limits) -> Iterator[Row | Bad]:
    """Yield the rows of a Parquet file."""
    import pyarrow.parquet  # type: ignore[import-untyped]

    _check_footer(path, limits)
    try:
        with _plain_memory():
            file = pyarrow.parquet.ParquetFile(
                path,
                buffer_size=1 << 20,
                pre_buffer=False,
                thrift_string_size_limit=limits.footer_bytes,
                thrift_container_size_limit=limits.footer_bytes,
            )
    except (pyarrow.ArrowException, MemoryError) as error:
        raise BadFile(1, f"not valid Parquet ({error})") from error
    with file:
        rows = _claimed_rows(path, file.metadata, limits)
        batches = file.iter_batches(batch_size=rows, use_threads=False)
        yield from batch_rows(batches, file.schema_arrow, limits, kind="Parquet")


def arrow_rows(path: Path, limits: Limits) -> Iterator[Row | Bad]:
    """Yield the rows of an Arrow file, in the stream or in the file format."""
    import pyarrow

    with pyarrow.memory_map(str(path)) as file:
        # A file is a stream between a signature and an index, and the stream alone is enough.
        if file.read(len(_ARROW_FILE)) != _ARROW_FILE:
            file.seek(0)
        try:
            reader = pyarrow.ipc.open_stream(file, memory_pool=pyarrow.system_memory_pool())
        except (pyarrow.ArrowException, OSError) as error:
            raise BadFile(1, f"not valid Arrow ({error})") from error
        yield from batch_rows(iter(reader), reader.schema, limits, kind="Arrow")


@contextmanager
def _plain_memory() -> Iterator[None]:
    """Let readers opened in the block take memory from the system as they need it.

    Arrow's own allocator reserves more address space at once than `headroom` leaves it.
    """
    import pyarrow

    usual = pyarrow.default_memory_pool()
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    try:
        yield
    finally:
        pyarrow.set_memory_pool(usual)


def _check_footer(path: Path, limits: Limits) -> None:
    """Refuse a file whose description of itself would fill the memory when it is parsed."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(max(0, size - 8))
        length = int.from_bytes(file.read(4), "little")
        if file.read(4) != b"PAR1":
            raise BadFile(1, "not valid Parquet (it does not end in PAR1). Copy the file again.")
    if length > limits.footer_bytes:
        reason = f"its footer has {length} bytes, at most {limits.footer_bytes} are taken"
        raise BadFile(1, f"not valid Parquet ({reason}). Write fewer columns or larger row groups.")


def _claimed_rows(path: Path, metadata: Any, limits: Limits) -> int:
    """Return how many rows to decode at once; refuse files that claim to hold far too much."""
    if metadata.num_columns > limits.columns:
        raise BadFile(1, too_wide([""] * metadata.num_columns, limits))
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    claimed = sum(group.total_byte_size for group in groups)
    size = os.stat(path).st_size
    if claimed > max(_NOTABLE, limits.inflation * size):
        raise BadFile(
            1,
            f"its {size} bytes claim to hold {claimed}; at most {limits.inflation} times the "
            "file's size is taken. Write it without compression.",
        )
    longest = max((g.total_byte_size / max(1, g.num_rows) for g in groups), default=0.0)
    return int(min(BATCH, max(1, limits.row_bytes // max(1, int(longest)))))


def batch_rows(
    batches: Iterator[Any], schema: pyarrow.Schema, limits: Limits, *, kind: str
) -> Iterator[Row | Bad]:
    """Yield the rows of record batches from anywhere; ``kind`` is what messages call the file."""
    import pyarrow

    _check_schema(schema, limits)
    number = 1
    while True:
        try:
            with headroom(limits.headroom_bytes):
                batch = next(batches, None)
            if batch is None:
                return
            # Arrow trusts the offsets in a file, and would read outside the batch.
            batch.validate(full=True)
        except MemoryError as error:
            room = f"a batch needs more than {limits.headroom_bytes} bytes of memory"
            raise BadFile(number, f"not valid {kind} ({room}). Write smaller batches.") from error
        except (pyarrow.ArrowException, OSError) as error:
            raise BadFile(number, f"not valid {kind} ({error})") from error
        for start in range(0, batch.num_rows, BATCH):
            yield from _converted(batch.slice(start, BATCH), number + start, limits)
        number += batch.num_rows


def _check_schema(schema: pyarrow.Schema, limits: Limits) -> None:
    if reason := too_wide(schema.names, limits):
        raise BadFile(1, reason)
    if twice := [name for name, count in Counter(schema.names).items() if count > 1]:
        raise BadFile(1, f"column {twice[0][:80]!r} is there twice; once is needed. Rename one.")
    for field in schema:
        if kind := strange_type(field.type):
            raise BadFile(
                1,
                f"column {field.name[:80]!r} has type {kind:.80}; texts, numbers, lists and "
                "objects of them are taken. Leave it out or convert it.",
            )


def _converted(batch: Any, number: int, limits: Limits) -> Iterator[Row | Bad]:
    """Yield the rows of a batch, halved until what it becomes fits into the limits of a row."""
    sizes = [size_of(column) for column in batch.columns]
    values, length = (sum(parts) for parts in zip(*sizes, strict=True)) if sizes else (0, 0)
    problem = too_many_values(limits) if values > limits.values else ""
    problem = too_long(limits) if length > limits.row_bytes else problem
    if not problem:
        try:
            rows = batch.to_pylist()
        except (ValueError, OverflowError) as error:
            problem = f"a value cannot be read ({error})"  # Such as a date in the year 40,000.
        else:
            yield from enumerate(rows, number)
            return
    if batch.num_rows <= 1:
        yield Bad(number, problem)
        return
    half = batch.num_rows // 2
    yield from _converted(batch.slice(0, half), number, limits)
    yield from _converted(batch.slice(half), number + half, limits)
