"""Rows of JSON: objects, one a line or in one array of any length, read piece by piece."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO

from ablate.data.reading.columns import MalformedRow
from ablate.data.reading.limits import (
    Bad,
    BadFile,
    Limits,
    Row,
    too_long,
    too_many_values,
    too_wide,
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
    lines, parser = Lines(file, limits), _Parser(limits)
    while True:
        lines.held = 0
        try:
            if (line := next(lines, None)) is None:
                return
            if line.strip():
                yield lines.number, parser.row(parser.parse(line))
        except MalformedRow as error:
            yield Bad(lines.number, str(error))


class _Parser:
    """Parses JSON, with a limit on its size, and notices names that are there twice."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._twice: str | None = None
        self._decoder = json.JSONDecoder(object_pairs_hook=self._object)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            self._twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        return found

    def parse(self, text: str) -> Any:
        """Return what a line says."""
        self.check_size(text)
        self._twice = None
        try:
            return self._decoder.decode(text)
        except (ValueError, RecursionError) as error:
            raise MalformedRow(invalid(error)) from error

    def parse_at(self, text: str, start: int) -> tuple[Any, int]:
        """Return the value that begins at a place of a text, and the place after it."""
        self.check_size(text)
        self._twice = None
        return self._decoder.raw_decode(text, start)

    def check_size(self, text: str) -> None:
        """Raise MalformedRow where parsing would cost far more memory than the text itself."""
        # Each value takes two characters at least, so short texts need no count.
        if len(text) > 2 * self._limits.values and count_values(text) > self._limits.values:
            raise MalformedRow(too_many_values(self._limits))

    def row(self, value: Any) -> dict[str, Any]:
        """Return the value just parsed, which has to be an object."""
        if not isinstance(value, dict):
            raise MalformedRow(f"found {type(value).__name__}; a JSON object is needed")
        if reason := too_wide(value, self._limits):
            raise MalformedRow(reason)
        if self._twice is not None:
            raise MalformedRow(
                f"the name {self._twice[:80]!r} is there twice in one object; once is allowed. "
                "Rename or remove one."
            )
        return value


def count_values(text: str) -> int:
    """Return about how many values, lists and objects a JSON text holds, without parsing it."""
    # Without escapes every quote begins or ends a string; every other piece is between strings.
    bare = text.replace("\\\\", "").replace('\\"', "")
    quotes = bare.count('"')
    if 4 * quotes > len(text):
        return quotes // 2
    between = "".join(bare.split('"')[::2])
    return between.count(",") + between.count("[") + between.count("{")


def invalid(error: Exception) -> str:
    """Say that a text is no JSON."""
    return f"not valid JSON ({error}); one object a line, or an array of objects, is needed"


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
    text, parser = _Text(file, limits), _Parser(limits)
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


def _element(text: _Text, parser: _Parser) -> tuple[Any, int]:
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
