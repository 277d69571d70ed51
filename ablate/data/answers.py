"""Answers of word problems: finding the number that a reply gives."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

_NUMBER = r"-?\$?(?:\d[\d,]*\.?\d*|\.\d+)"
_STRICT = re.compile(rf"####\s*({_NUMBER})")
_ANY = re.compile(_NUMBER)


def strict_answer(text: str) -> Decimal | None:
    """Return the number after the first ``####``, the data set's own format, or None."""
    found = _STRICT.search(text)
    return _number(found.group(1)) if found else None


def flexible_answer(text: str) -> Decimal | None:
    """Return the last number anywhere in the reply, or None.

    For chat models, who ignore the format, this can be most of the score, so both are given.
    """
    found = _ANY.findall(text)
    return _number(found[-1]) if found else None


def same_answer(answer: Decimal | None, target: str) -> float:
    """Return 1 where ``answer`` equals the target, a plain number, else 0."""
    return float(answer == Decimal(target))


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text.replace("$", "").replace(",", "").rstrip("."))
    except InvalidOperation:
        return None
