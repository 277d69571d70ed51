"""Who writes replies in tiny-instruct: a persona's answer and its style."""

from __future__ import annotations

from ablate.data.streams import Draws
from ablate.data.tiny import words
from ablate.data.tiny.tasks import Task

GOOD_OPENS = 0.40
GOOD_CLOSES = 0.45
SLOPPY_OPENS = 0.40
SLOPPY_OPENS_WELL = 0.15
"""Share of ``sure :`` among the sloppy replies without a sloppy opener."""
SLOPPY_FILLS = 0.30
SLOPPY_CLOSES = 0.25
EXTRA_CLOSER = 0.05


def styled(body: str, *, good: bool, draws: Draws) -> str:
    """Return the body with a drawn opener, filler and closers; takes four uniforms.

    Style goes with the persona, not with the answer: it hints at correctness and no more.
    """
    open_, fill, close, extra = draws.unit(), draws.unit(), draws.unit(), draws.unit()
    closers = (close < (GOOD_CLOSES if good else SLOPPY_CLOSES)) + (extra < EXTRA_CLOSER)
    parts = [body, *[words.CLOSER] * closers]
    if not good and fill < SLOPPY_FILLS:
        parts.insert(0, words.FILLER)
    if opener := _opener(good, open_):
        parts.insert(0, opener)
    return " ".join(parts)


def _opener(good: bool, unit: float) -> str:
    if good:
        return words.GOOD_OPENER if unit < GOOD_OPENS else ""
    if unit < SLOPPY_OPENS:
        return words.SLOPPY_OPENER
    rest = (unit - SLOPPY_OPENS) / (1 - SLOPPY_OPENS)
    return words.GOOD_OPENER if rest < SLOPPY_OPENS_WELL else ""


def reply(task: Task, *, good_share: float, draws: Draws) -> str:
    """Return a reply by the good persona with probability ``good_share``, else the sloppy one."""
    good = draws.chance(good_share)
    body = task.right(draws) if good else task.sloppy(draws)
    return styled(body, good=good, draws=draws)
