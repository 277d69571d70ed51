"""What a check says of a data set."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["ok", "warn", "fail", "n/a"]
"""``fail``: training on it would measure something else; ``warn``: a person should look."""
NAMED = 20
"""Rows that a check names; it counts all of them."""
UNDEFINED = float("nan")


@dataclass(frozen=True)
class Check:
    """The outcome of one check."""

    name: str
    """What was looked at, in words."""
    status: Status
    """``n/a`` where the data do not have what the check looks at."""
    found: str
    """What was found, in words and numbers."""
    value: float = UNDEFINED
    """The number that the status follows from; NaN where it is undefined."""
    rows: tuple[str, ...] = ()
    """Ids of the first rows concerned."""


def not_applicable(name: str, reason: str) -> Check:
    """Return the check of data that do not have what it looks at."""
    return Check(name, "n/a", reason)


def over(value: float, *, warn: float, fail: float = float("inf")) -> Status:
    """Return the status of a number that had better be small: bad where it exceeds a bound."""
    return "fail" if value > fail else "warn" if value > warn else "ok"


def percent(share: float) -> str:
    """Return a share in percent, so that few are not shown as none; ``n/a`` for NaN."""
    if math.isnan(share):
        return "n/a"
    digits = 2 if 0 < min(share, 1 - share) < 0.001 else 1
    return f"{100 * share:.{digits}f} %"


@dataclass
class Rows:
    """A count of rows, with the ids of the first ones."""

    count: int = 0
    """All that were added."""
    ids: list[str] = field(default_factory=list)
    """The first of them, up to `NAMED`."""

    def add(self, id_: str) -> None:
        """Count a row."""
        self.count += 1
        if len(self.ids) < NAMED:
            self.ids.append(id_)

    def named(self) -> tuple[str, ...]:
        """Return the ids, in the order of the rows."""
        return tuple(self.ids)


def worst(checks: Iterable[Check]) -> Status:
    """Return the gravest status of several checks; ``n/a`` without any other."""
    order: tuple[Status, ...] = ("n/a", "ok", "warn", "fail")
    return max((check.status for check in checks), key=order.index, default="n/a")
