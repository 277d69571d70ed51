"""Gold rewards: where the quality of a reply can be computed and need not be modelled."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ablate.data.records import Messages
from ablate.data.tiny.catalogue import WORLD, all_tasks
from ablate.data.tiny.gold import grade


class Gold(NamedTuple):
    """The verdict on one reply."""

    correct: float
    """1 where the answer is right, else 0."""
    reward: float
    """Correctness and style together."""


class GoldScorer(Protocol):
    """Judges one reply to one conversation."""

    def __call__(self, messages: Messages, text: str, ended: bool) -> Gold:
        """Return the verdict; ``text`` comes without the end token, ``ended`` says if it came."""


def gold_scorer(world: str | None) -> GoldScorer | None:
    """Return the scorer of a generated world, or None where no gold reward exists."""
    return _tiny_gold if world == WORLD else None


def _tiny_gold(messages: Messages, text: str, ended: bool) -> Gold:
    prompt = messages[-1]["content"]
    task = all_tasks().get(prompt)
    if task is None:
        raise ValueError(f"gold reward of {WORLD}: {prompt!r} is not a prompt of this world")
    correct, points = grade(task, text, ended=ended)
    return Gold(float(correct), points / 100)
