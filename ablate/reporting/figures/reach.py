"""How far an axis of differences reaches, so that one wide interval does not flatten the others."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ablate.reporting.effects import EffectRow

OUTLYING = 4.0
"""An end this many times farther out than three quarters of the others is cut."""
ROOM = 1.3
"""Of the margin, which is always inside."""


def ends_of(row: EffectRow) -> tuple[float, ...]:
    """Return where a row's interval ends, or its value where it has none; nothing for NaN."""
    shown = row.shown if row.shown.defined else row.effect
    ends = (shown.low, shown.high) if shown.defined else (shown.value,)
    return tuple(end for end in ends if not math.isnan(end))


def axis_reach(rows: Iterable[EffectRow], *, margin: float = 0.0, least: float = 0.1) -> float:
    """Return the largest difference that an axis shows, the same on both sides of 0.

    It is the farthest end of any interval, unless that lies far beyond those of most rows; the
    drawing then ends it in an arrow.
    """
    outer = [max(abs(end) for end in ends) for row in rows if (ends := ends_of(row))]
    if not outer:
        return max(ROOM * margin, least)
    usual = OUTLYING * float(np.quantile(outer, 0.75))
    return max(min(max(outer), max(usual, least)), ROOM * margin, least)
