"""Rows of JSON: objects, one a line or in one array of any length, read piece by piece."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from ablate.data.reading.columns import MalformedRow
from ablate.data.reading.json_parser import Parser, invalid
from ablate.data.reading.limits import (
    Bad,
    BadFile,
    Limits,
    Row,
    too_long,
)
from ablate.data.reading.lines import BOM, Lines

PIECE = 1 << 16
"""Bytes read at once from an array."""
_LONGEST_TOKEN = 16
"""Characters of ``-Infinity`` and more: an error further before the end is no missing rest."""
_SPACE = re.compile(r"[ \t\n\r]*+")


def json_rows(file: BinaryIO, limits: Limits) -> Iterator[Row | Bad]:
    """Yield the objects of a file: of an array if it begins with ``[``, else one of each line."""
    head: bytes = file.peek(PIECE)  # type: ignore[attr-defined]  # Both openers have it.
    if head.removeprefix(BOM).lstrip().startswith(b"["):
        yield from _array_rows(file, limits)
        return
    lines, parser = Lines(file, limits), Parser(limits)
    while True:
        lines.held = 0
        try:
            if (line := next(lines, None)) is None:
                return
            if line.strip():
                yield lines.number, parser.row(parser.parse(line))
        except MalformedRow as error:
            yield Bad(lines.number, str(error))


class _Text:
    """The part of an array that is in memory, from the element being read."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self.text = ""
        self.at = 0
        self.row = 0

    def grow(self) -> bool:
        """Append at least as much as is held from the current place; return False at the end."""
        held = len(self.text) - self.at
        if held > self._limits.row_bytes:
            raise BadFile(self.row, too_long(self._limits))
        piece = self._file.read(max(PIECE, held))
        try:
            self.text = self.text[self.at :] + self._decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            raise BadFile(self.row + 1, f"the text is not UTF-8 ({error.reason})") from error
        self.at = 0
        return bool(piece)

    def sign(self) -> str:
        """Return the next character that is no white space; an empty string at the end."""
        while (found := _SPACE.match(self.text, self.at)) and found.end() == len(self.text):
            self.at = found.end()
            if not self.grow():
                return ""
        self.at = found.end() if found else self.at
        return self.text[self.at]


def _array_rows(file: BinaryIO, limits: Limits) -> Iterator[Row | Bad]:
    text, parser = _Text(file, limits), Parser(limits)
    text.sign()
    text.at += 1
    while (sign := text.sign()) != "]":
        if text.row:
            if sign != ",":
                found = repr(sign) if sign else "the end of the file"
                raise BadFile(
                    text.row, f"not valid JSON ({found} after the row; ',' or ']' ends it)"
                )
            text.at += 1
            text.sign()
        text.row += 1
        value, length = _element(text, parser)
        try:
            if length > limits.row_bytes:
                raise MalformedRow(too_long(limits))
            yield text.row, parser.row(value)
        except MalformedRow as error:
            yield Bad(text.row, str(error))
    text.at += 1
    if text.sign():
        raise BadFile(text.row + 1, "not valid JSON (there is more after the array's ']')")


def _element(text: _Text, parser: Parser) -> tuple[Any, int]:
    """Return the array's element at the current place, read whole, and its length."""
    while True:
        problem: Exception | None = None
        try:
            value, end = parser.parse_at(text.text, text.at)
        except MalformedRow as error:
            raise BadFile(text.row, str(error)) from error
        except (ValueError, RecursionError) as error:
            if _is_final(error, text.text):
                raise BadFile(text.row, invalid(error)) from error
            problem = error
        else:
            # A number that touches the end may go on in the next piece.
            if end < len(text.text):
                length, text.at = end - text.at, end
                return value, length
        if not text.grow():
            if problem is None:
                problem = ValueError("the array does not end")
            raise BadFile(text.row, invalid(problem)) from problem


def _is_final(error: Exception, text: str) -> bool:
    """Return whether more text cannot mend an error."""
    if not isinstance(error, json.JSONDecodeError):
        return True
    missing = error.msg.startswith("Unterminated string")
    return not missing and error.pos < len(text) - _LONGEST_TOKEN
