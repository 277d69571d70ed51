"""Plain text for people: tables, durations, sizes, colour where the terminal wants it."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any, TextIO


def use_colour(stream: TextIO) -> bool:
    """Return whether ``stream`` is a terminal that may be coloured (see no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def bold(text: str) -> str:
    """Return ``text`` in bold where standard output is a colour terminal."""
    return f"\033[1m{text}\033[0m" if use_colour(sys.stdout) else text


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return an aligned table; columns of numbers to the right, text to the left."""
    cells = [list(map(str, header)), *[[_text(value) for value in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    numeric = [
        bool(rows) and all(_is_numeric(row[column]) for row in rows)
        for column in range(len(header))
    ]
    lines = []
    for row in cells:
        parts = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, numeric, strict=True)
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def _text(value: object) -> str:
    return "–" if value is None else str(value)


def _is_numeric(value: object) -> bool:
    return value is None or str(value)[:1].isdigit() or isinstance(value, int | float)


def duration(seconds: float) -> str:
    """Return seconds as ``45 s``, ``3 min 20 s`` or ``2 h 05 min``; NaN as ``unknown``."""
    if not math.isfinite(seconds):
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clock_time(seconds: float) -> str:
    """Return a time, in seconds since the epoch, as ``08:00`` today, else with its date."""
    moment = datetime.fromtimestamp(seconds)
    today = datetime.fromtimestamp(time.time()).date()
    return moment.strftime("%H:%M" if moment.date() == today else "%Y-%m-%d %H:%M")


def counted(number: int, name: str) -> str:
    """Return ``1 job`` or ``2 jobs``; for names that take an s."""
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def size(amount: float) -> str:
    """Return bytes as ``12 MB``, decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def print_json(document: Any) -> None:
    """Print one JSON document; NaN and infinities become null."""
    unicode = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    print(json.dumps(plain(document), indent=1, ensure_ascii=not unicode, allow_nan=False))


def plain(value: Any) -> Any:
    """Return dataclasses, tuples and non-finite numbers as what JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
