"""Why fields are missing, as letters beside their dashes and a line below the table."""

from __future__ import annotations

from string import ascii_lowercase

from ablate.reporting import text
from ablate.reporting.tables import Cell, Table


def letters_of(table: Table) -> dict[str, str]:
    """Return a letter for each reason why a field is a dash, in reading order."""
    reasons = dict.fromkeys(cell.hint for row in table.rows for cell in row if _is_missing(cell))
    return {reason: _letter(number) for number, reason in enumerate(reasons)}


def letter(cell: Cell, letters: dict[str, str]) -> str:
    """Return the letter of a field that is a dash; empty for any other."""
    return letters[cell.hint] if _is_missing(cell) else ""


def _is_missing(cell: Cell) -> bool:
    return cell.text == text.DASH and bool(cell.hint)


def _letter(number: int) -> str:
    """Return a to z, then aa, ab and so on."""
    first, last = divmod(number, len(ascii_lowercase))
    return (_letter(first - 1) if first else "") + ascii_lowercase[last]
