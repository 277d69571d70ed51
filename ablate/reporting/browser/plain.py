"""Text of models and files made fit for a page, and data made fit for a script element."""

from __future__ import annotations

import json
import math
import re
from typing import Any

LONGEST = 2_000
"""Characters of a prompt or a reply that the page holds."""
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
"""Controls but tab and line ends, what turns the direction of text, line separators, half pairs."""
_MARKUP = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_ESCAPED = str.maketrans(_MARKUP)


def visible(text: str) -> str:
    """Return the text with characters that hide, break or turn it written as code points."""
    return _HIDDEN.sub(lambda found: f"<U+{ord(found[0]):04X}>", text.replace("\r\n", "\n"))


def shortened(value: object, longest: int = LONGEST) -> tuple[str, int]:
    """Return the visible text of a value and, where it was cut, its whole length; else 0."""
    text = "" if value is None else str(value)
    return visible(text[:longest]), len(text) if len(text) > longest else 0


def script_json(value: Any) -> str:
    """Return JSON that can stand in a script element: no markup in it, what is no number is null.

    Every ``<``, ``>`` and ``&`` stands in a string, so that it may be written as its code.
    """
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return visible_json(text).translate(_ESCAPED)


def visible_json(text: str) -> str:
    """Return JSON text whose half surrogates are written as their codes, so that it encodes."""
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
