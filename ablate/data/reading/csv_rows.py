"""Rows of CSV: a header, then cells, each a text."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

from ablate.data.reading.columns import MalformedRow
from ablate.data.reading.limits import Bad, BadFile, Limits, Row, too_wide
from ablate.data.reading.lines import Lines


def csv_rows(file: BinaryIO, limits: Limits) -> Iterator[Row | Bad]:
    """Yield the rows after the header; empty lines are no rows."""
    # The module's own limit on a cell, 131,072 characters, is below a long conversation. It is one
    # for the whole process, so it is only ever raised; `Lines` limits the row.
    csv.field_size_limit(max(csv.field_size_limit(), limits.row_bytes))
    header: list[str] | None = None
    number = 0
    for item in _records(file, limits):
        number += header is not None
        if isinstance(item, str):
            if header is None:
                raise BadFile(1, f"the header is {item}")
            yield Bad(number, item)
        elif header is None:
            header = _checked_header(item, limits)
        elif len(item) != len(header):
            counts = f"{len(item)} cells found, {len(header)} are needed"
            yield Bad(number, f"the row has more or fewer cells than the header: {counts}")
        else:
            yield number, dict(zip(header, item, strict=True))


def _records(file: BinaryIO, limits: Limits) -> Iterator[list[str] | str]:
    """Yield the cells of each record, or what is wrong with it."""
    lines = Lines(file, limits)
    reader = csv.reader(lines, strict=True)
    while True:
        lines.held = 0
        try:
            cells = next(reader, None)
        except (csv.Error, MalformedRow) as error:
            yield f"not valid CSV ({error})"
            continue
        if cells is None:
            return
        if cells:
            yield cells


def _checked_header(names: list[str], limits: Limits) -> list[str]:
    if reason := too_wide(names, limits):
        raise BadFile(1, f"the header is too long: {reason}")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise BadFile(
            1, f"the header names {twice[0][:80]!r} twice; each column once is needed. Rename one."
        )
    return names
