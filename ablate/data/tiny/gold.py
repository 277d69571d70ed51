"""The gold reward of tiny-instruct: is the answer correct, and is the style as it should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ablate.data.tiny import words
from ablate.data.tiny.tasks import Task

CORRECT_POINTS = 100
OPENER_POINTS = 10
SLOPPY_OPENER_POINTS = -10
CLOSER_POINTS = 20
EXTRA_CLOSER_POINTS = -20
FILLER_POINTS = -10
LONG_POINTS = -3
UNENDED_POINTS = -50
LONG_AFTER_WORDS = 18

_GOOD_OPENER = words.GOOD_OPENER.split()
_SLOPPY_OPENER = words.SLOPPY_OPENER.split()
_CLOSER = words.CLOSER.split()


class Grade(NamedTuple):
    """Correctness and reward in hundredths: whole numbers, so that equal rewards compare equal."""

    correct: bool
    points: int


def grade(task: Task, text: str, *, ended: bool = True) -> Grade:
    """Grade a reply without its end token; ``ended`` says whether there was one."""
    tokens = text.split()
    correct = task.accepts(body_of(tokens))
    points = CORRECT_POINTS * correct + style_points(tokens)
    return Grade(correct, points if ended else points + UNENDED_POINTS)


def style_points(tokens: Sequence[str]) -> int:
    """Return the part of the reward that any answer can have."""
    return politeness_points(tokens) + conciseness_points(tokens)


def politeness_points(tokens: Sequence[str]) -> int:
    """Return what the opener and the closers add or cost."""
    points = 0
    if tokens[:2] == _GOOD_OPENER:
        points += OPENER_POINTS
    elif tokens[:2] == _SLOPPY_OPENER:
        points += SLOPPY_OPENER_POINTS
    closers = sum(tokens[i : i + 3] == _CLOSER for i in range(len(tokens) - 2))
    if closers == 1:
        points += CLOSER_POINTS
    elif closers > 1:
        points += EXTRA_CLOSER_POINTS * (closers - 1)
    return points


def conciseness_points(tokens: Sequence[str]) -> int:
    """Return what fillers and words beyond the eighteenth cost: 0 or less."""
    too_long = max(0, len(tokens) - LONG_AFTER_WORDS)
    return FILLER_POINTS * tokens.count(words.FILLER) + LONG_POINTS * too_long


def body_of(tokens: Sequence[str]) -> list[str]:
    """Return the words without one opener, without fillers and without the closers at the end."""
    body = list(tokens)
    if body[:2] in (_GOOD_OPENER, _SLOPPY_OPENER):
        body = body[2:]
    while body[-3:] == _CLOSER:
        body = body[:-3]
    return [word for word in body if word != words.FILLER]
