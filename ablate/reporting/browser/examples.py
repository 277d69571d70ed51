"""A few items that two cells disagree on, for readers whose page runs no script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from ablate.reporting.browser.outcomes import RIGHT, TIE, WRONG, TaskBoard
from ablate.reporting.browser.texts import Replies

MOST = 8
LONGEST = 400
"""Characters of a text that are shown."""
_SAID = {RIGHT: "right", WRONG: "wrong", TIE: "tie"}


@dataclass(frozen=True)
class Example:
    """One item under two cells."""

    task: str
    prompt: str
    target: str
    outputs: tuple[tuple[str, str, str], ...]
    """Cell, output, and how it came out."""


def examples_of(
    tasks: Sequence[TaskBoard],
    pair: tuple[str, str],
    shown: Mapping[str, Sequence[str]],
    replies: Replies,
) -> list[Example]:
    """Return of each task the first shown item on which two cells disagree."""
    found = (_first(board, pair, shown[board.name], replies) for board in tasks)
    return list(islice((example for example in found if example is not None), MOST))


def _first(
    board: TaskBoard, pair: tuple[str, str], keys: Sequence[str], replies: Replies
) -> Example | None:
    for key in keys:
        sides = list(_sides(board, pair, key, replies))
        if len({said for _, _, said in sides}) == 2:
            reply = replies[board.name, pair[0], key]
            prompt = _cut(reply.prompt[0])
            return Example(board.name, prompt, _cut(reply.target), tuple(sides))
    return None


def _sides(
    board: TaskBoard, pair: tuple[str, str], key: str, replies: Replies
) -> Iterator[tuple[str, str, str]]:
    for cell in pair:
        column, reply = board.columns.get(cell), replies.get((board.name, cell, key))
        if column is None or reply is None:
            return
        place = column.keys.index(key)
        said = _SAID.get(int(column.outcomes[0, place]), "not scored")
        if board.kind == "points":
            said = f"{column.scores[0, place]:g} points"
        yield cell, _cut(reply.output[0]), said


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + " […]"
