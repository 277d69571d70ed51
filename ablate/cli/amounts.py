"""Times and budgets as people write them: ``08:00``, ``2h30m``, an ISO time, ``40gpuh``."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

from ablate.errors import StudyError

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}
"""Seconds by unit."""
LONGEST_SECONDS = 366 * 86400.0
"""A longer time is a slip of the pen."""
LARGEST_BUDGET = 1e5 * LONGEST_SECONDS
"""A hundred thousand accelerators for a year."""

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(d|h|min|m|s)")
_SPAN = re.compile(rf"(?:{_PART.pattern}\s*)+")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_OF_DEVICES = re.compile(r"(.*(?:gpu|GPU))(d|h|min|m|s)")


def span(text: str, name: str = "time") -> float:
    """Return the seconds of ``2h30m``, ``90m`` or ``1.5h``; raises StudyError naming ``name``."""
    seconds = _span(text)
    if seconds is None:
        raise StudyError(f"{name}: {text!r} is no length of time. Write 2h30m, 90m or 45s.")
    return _checked(seconds, text, name=name)


def device_seconds(text: str, name: str = "budget") -> float:
    """Return the seconds of accelerators in ``40gpuh``, ``1.5 gpuh`` or ``90m``.

    Without ``gpu`` the same: where there is no accelerator it is the time of slots. Raises
    StudyError naming ``name``.
    """
    found = _OF_DEVICES.fullmatch(text.strip())
    plain = f"{found[1][:-3]}{found[2]}" if found else text
    seconds = _span(plain)
    if seconds is None:
        raise StudyError(f"{name}: {text!r} is no budget. Write 40gpuh, 2h30m or 90m.")
    return _checked(seconds, text, name=name, longest=LARGEST_BUDGET)


def deadline(text: str, name: str = "until", *, now: float | None = None) -> float:
    """Return the time meant by ``08:00``, ``2h30m`` or an ISO time, in seconds since the epoch.

    A time of day is the next such one on this machine's clock. Where the clock is set forward
    past it, it is as far after the change; where the clock shows it twice, the first one that is
    still ahead. An ISO time without a zone is local. Raises StudyError naming ``name``.
    """
    now = time.time() if now is None else now
    text = text.strip()
    if (seconds := _span(text)) is not None:
        return now + _checked(seconds, text, name=name)
    if (clock := _CLOCK.fullmatch(text)) and int(clock[1]) < 24 and int(clock[2]) < 60:
        return _next(int(clock[1]), int(clock[2]), now=now)
    try:
        # A date alone may mean its start or its end.
        moment = datetime.fromisoformat(text).timestamp() if ":" in text and "-" in text else None
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None:
        raise StudyError(
            f"{name}: {text!r} is no time. Write 08:00 (the next one), 2h30m (from now) or "
            "2026-11-22T08:00+01:00."
        )
    if moment <= now:
        raise StudyError(f"{name}: {text} is past. Give a time ahead.")
    _checked(moment - now, text, name=name)
    return moment


def _span(text: str) -> float | None:
    text = text.strip()
    if not _SPAN.fullmatch(text):
        return None
    parts = _PART.findall(text)
    units = [UNITS[unit] for _, unit in parts]
    if any(unit <= smaller for unit, smaller in zip(units, units[1:], strict=False)):
        return None  # 30m2h and 5m5m are more likely slips than meant
    return sum(float(amount) * unit for (amount, _), unit in zip(parts, units, strict=True))


def _checked(seconds: float, text: str, *, name: str, longest: float = LONGEST_SECONDS) -> float:
    if seconds <= 0.0:
        raise StudyError(f"{name}: {text!r} is nothing. Give more.")
    if seconds > longest:
        raise StudyError(f"{name}: {text!r} is more than anyone has. Give less.")
    return seconds


def _next(hour: int, minute: int, *, now: float) -> float:
    today = datetime.fromtimestamp(now).replace(hour=hour, minute=minute, second=0, microsecond=0)
    for day in (today, today + timedelta(days=1), today + timedelta(days=2)):
        for fold in (0, 1):
            # Wall-clock arithmetic on a time without a zone: the system's rules for its offset
            # are looked up at the end, so a day with a change of clocks has its true length.
            moment = day.replace(fold=fold).timestamp()
            if moment > now:
                return moment
    raise AssertionError("two days ahead lies ahead")
