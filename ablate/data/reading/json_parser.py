"""JSON of untrusted files: no more memory than the text is worth, and no name twice."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from ablate.data.reading.columns import MalformedRow
from ablate.data.reading.limits import Limits, too_many_values, too_wide


class Parser:
    """Parses JSON, with a limit on its size, and notices names that are there twice."""

    def __init__(self, limits: Limits) -> None:
        """Parse what fits the limits of a row."""
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
