"""One problem of a study file, before it is given its place and its text."""

from __future__ import annotations

import re
from dataclasses import dataclass

Place = tuple[str | int, ...]
"""Keys and positions from the root of a study file down to a value."""

_PLAIN_KEY = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Problem:
    """What is wrong with the value at ``place``; `Source.render` adds file, line and caret."""

    place: Place
    """Where; elements that the file does not have are skipped."""
    message: str
    """What was found; what is allowed. What to do."""
    at_key: bool = False
    """Point at the key and not at its value."""
    mark: tuple[int, int] | None = None
    """Line and column from 0, for what is wrong with the text and not with a value."""
    surroundings: bool = False
    """The study may stay as it is; something around it is missing."""


def dotted(place: Place) -> str:
    """Return a place as people write it: ``grid.algorithm[1]``."""
    text = ""
    for element in place:
        if isinstance(element, int):
            text += f"[{element}]"
        elif _PLAIN_KEY.fullmatch(element):
            text += f".{element}" if text else element
        else:
            text += f"[{element!r}]"
    return text
