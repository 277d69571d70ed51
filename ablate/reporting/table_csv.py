"""A table as CSV: what is printed, and beside it the unrounded number and its interval."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from ablate.reporting.tables import Cell, Table


def table_csv(table: Table) -> str:
    """Return a line a row: its group where the table has any, its head, and every column's text.

    A column with numbers is followed by ``<title>: value``, and where any field has an interval by
    ``: low`` and ``: high``, all unrounded and empty where undefined. Small print follows the text
    in parentheses.
    """
    columns = list(zip(*table.rows, strict=True)) if table.rows else [() for _ in table.columns]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    parts = [_column(title, cells) for title, cells in zip(table.titles, columns, strict=True)]
    if table.groups:
        parts.insert(0, [["group", *(t for t, rows in table.blocks for _ in rows)]])
    writer.writerows(zip(*(column for part in parts for column in part), strict=True))
    return out.getvalue()


def _column(title: str, cells: Sequence[Cell]) -> list[list[str]]:
    said = [[title, *(_text(cell) for cell in cells)]]
    if any(cell.sort is not None for cell in cells):
        said.append([f"{title}: value", *(_number(cell.sort) for cell in cells)])
    if any(math.isfinite(cell.low) for cell in cells):
        said.append([f"{title}: low", *(_number(cell.low) for cell in cells)])
        said.append([f"{title}: high", *(_number(cell.high) for cell in cells)])
    return [[_harmless(field) for field in column] for column in said]


def _text(cell: Cell) -> str:
    return " ".join(f"{cell.text} ({cell.sub})".split()) if cell.sub else cell.text


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else repr(float(value))


def _harmless(field: str) -> str:
    """Keep spreadsheets from running what a name begins with as a formula."""
    runs = field[:1] in ("=", "@", "\t", "\r") or (
        field[:1] in ("+", "-") and not (field[1:2].isdecimal() or field[1:2].isspace())
    )
    return f"'{field}" if runs else field
