"""How large a row of an untrusted file may be, and how a malformed one is spoken of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.errors import StageError

Row = tuple[int, dict[str, Any]]
"""A row's number, from 1, and its columns."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest row that is taken. What is larger is refused before it fills the memory."""

    row_bytes: int = 1 << 24
    """Bytes of a row's text. The longest of the published sets have a hundredth of it."""
    values: int = 1 << 18
    """Numbers, texts, lists and objects of a row: an empty list costs 64 bytes, and a file 3."""
    columns: int = 4096
    footer_bytes: int = 1 << 24
    """What a Parquet file says of itself at its end; a tenth of it describes 1,000 row groups."""
    inflation: int = 1000
    """How many times a Parquet file's size its row groups may claim to be once decompressed."""
    headroom_bytes: int = 1 << 29
    """Memory that decoding a batch of Arrow or Parquet may take."""


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Bad:
    """A malformed row; the ones after it can still be read."""

    row: int
    """Number from 1."""
    reason: str
    """What was found and what is allowed."""


class BadFile(ValueError):
    """From this row on nothing can be read; the text says what was found and what is allowed."""

    def __init__(self, row: int, reason: str) -> None:
        """Keep the number of the row, from 1."""
        super().__init__(reason)
        self.row = row


def bad_row(path: Path | str, number: int, reason: str) -> StageError:
    """Return the error of a malformed row."""
    return StageError(visible(f"{path}:{number}: {reason}"), kind="bad_data")


def visible(text: str) -> str:
    """Return a text with everything unprintable spelled out.

    Names and messages that come from a file could move the cursor of whoever reads the error.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def too_long(limits: Limits) -> str:
    """Say that a row has more text than is taken."""
    return f"the row is longer than {limits.row_bytes} bytes, the most that is taken. Shorten it."


def too_wide(row: dict[str, Any] | list[str], limits: Limits) -> str:
    """Say that a row has too many columns; an empty string where it has not."""
    if len(row) <= limits.columns:
        return ""
    return f"{len(row)} columns found; at most {limits.columns} are taken. Leave the others out."


def too_many_values(limits: Limits) -> str:
    """Say that a row holds more values than are taken."""
    return f"the row holds more than {limits.values} values, the most that is taken. Split it."
