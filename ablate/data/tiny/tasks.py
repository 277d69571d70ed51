"""What a prompt of tiny-instruct asks, how it may be answered, and which answers are correct."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ablate.data.streams import Draws

Category = Literal[
    "factuality", "reasoning", "truthfulness", "coding", "safety", "instruction_following"
]
CATEGORIES: tuple[Category, ...] = get_args(Category)
"""In the order of the world's tables."""


@dataclass(frozen=True, slots=True)
class Task(ABC):
    """One prompt. A *body* is a reply without its style: opener, filler and closers."""

    prompt: str
    category: Category
    weight: float
    """Probability of the prompt within its category, over all splits."""

    @abstractmethod
    def right(self, draws: Draws) -> str:
        """Return a correct body."""

    @abstractmethod
    def sloppy(self, draws: Draws) -> str:
        """Return what the sloppy persona says, which now and then is correct."""

    def wrong(self, draws: Draws) -> str:
        """Return an incorrect body that is no easier to spot than a sloppy one."""
        return self.sloppy(draws)

    @abstractmethod
    def accepts(self, body: Sequence[str]) -> bool:
        """Return whether the words of a body are a correct answer, and nothing beside it."""


@dataclass(frozen=True, slots=True)
class FixedTask(Task):
    """A task with one correct body and fixed sloppy ones."""

    answer: str
    mistakes: tuple[tuple[float, str], ...]
    """Wrong bodies with their probabilities, which sum to 1."""

    def right(self, draws: Draws) -> str:
        """Return the answer."""
        return self.answer

    def sloppy(self, draws: Draws) -> str:
        """Return one of the mistakes."""
        left = draws.unit()
        for probability, body in self.mistakes:
            left -= probability
            if left < 0:
                return body
        return self.mistakes[-1][1]

    def accepts(self, body: Sequence[str]) -> bool:
        """Accept the answer word for word."""
        return " ".join(body) == self.answer
