"""Reasoning and coding: sums in two steps, and small programs to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from ablate.data.streams import Draws
from ablate.data.tiny import words
from ablate.data.tiny.tasks import Task

SLOPPY_SUM_RIGHT = 0.2
COPY_INPUT = 0.6
SLIPS = (-3, -2, -1, 1, 2, 3)
CHAIN_LENGTH = 11
"""Words of ``a + b = s , s - c = e``."""


@dataclass(frozen=True, slots=True)
class SumTask(Task):
    """``tom has a apples and gets b more , then loses c . how many ?``."""

    a: int
    b: int
    c: int

    def right(self, draws: Draws) -> str:
        """Return the chain of thought."""
        return self._chain(self.a + self.b, self.a + self.b - self.c)

    def sloppy(self, draws: Draws) -> str:
        """Return a bare number, mostly off by up to 3."""
        result = self.a + self.b - self.c
        return str(result) if draws.chance(SLOPPY_SUM_RIGHT) else str(self._slip(draws))

    def wrong(self, draws: Draws) -> str:
        """Return a chain with a wrong last number, so that its form does not give it away."""
        return self._chain(self.a + self.b, self._slip(draws))

    def accepts(self, body: Sequence[str]) -> bool:
        """Accept the bare result, or a chain of at most two equations that ends in it.

        What comes before the last ``=`` is not graded; a list of numbers is no chain.
        """
        result = str(self.a + self.b - self.c)
        if len(body) == 1:
            return body[0] == result
        short = len(body) <= CHAIN_LENGTH and body.count("=") <= 2
        return short and list(body[-2:]) == ["=", result]

    def _chain(self, total: int, result: int) -> str:
        return f"{self.a} + {self.b} = {total} , {total} - {self.c} = {result}"

    def _slip(self, draws: Draws) -> int:
        result = self.a + self.b - self.c
        return draws.choice([result + slip for slip in SLIPS if result + slip >= 0])


def execute(operation: str, letters: Sequence[str]) -> tuple[str, ...]:
    """Return what ``run <operation> [ letters ]`` prints."""
    if operation == "reverse":
        return tuple(reversed(letters))
    if operation == "rotate":
        return (*letters[1:], letters[0])
    if operation == "upper":
        return tuple(letter.upper() for letter in letters)
    raise ValueError(f"{operation!r} is not one of {', '.join(words.OPERATIONS)}")


@dataclass(frozen=True, slots=True)
class ProgramTask(Task):
    """``run reverse [ p q r ]``."""

    operation: str
    letters: tuple[str, ...]

    def right(self, draws: Draws) -> str:
        """Return the output."""
        return " ".join(execute(self.operation, self.letters))

    def sloppy(self, draws: Draws) -> str:
        """Return the input, or the output of another operation."""
        if draws.chance(COPY_INPUT):
            return " ".join(self.letters)
        others = [name for name in words.OPERATIONS if name != self.operation]
        return " ".join(execute(draws.choice(others), self.letters))

    def wrong(self, draws: Draws) -> str:
        """Return a sloppy body that is not the output by chance (``p q p`` reversed)."""
        right = self.right(draws)
        while (body := self.sloppy(draws)) == right:
            pass
        return body

    def accepts(self, body: Sequence[str]) -> bool:
        """Accept exactly the output."""
        return tuple(body) == execute(self.operation, self.letters)


def reasoning() -> list[Task]:
    """Return every sum, for every name and object."""
    sums = [
        (a, b, c) for a, b in product(range(1, 7), repeat=2) for c in range(1, min(5, a + b) + 1)
    ]
    cases = list(product(words.NAMES, words.OBJECTS, sums))
    template = words.REASONING_TEMPLATE
    return [
        SumTask(
            template.format(name=name, objects=objects, a=a, b=b, c=c),
            *("reasoning", 1 / len(cases), a, b, c),
        )
        for name, objects, (a, b, c) in cases
    ]


def coding() -> list[Task]:
    """Return every operation on every 3 or 4 letters; both lengths are equally likely."""
    tasks: list[Task] = []
    for operation, size in product(words.OPERATIONS, (3, 4)):
        weight = 0.5 / len(words.OPERATIONS) / len(words.LETTERS) ** size
        for letters in product(words.LETTERS, repeat=size):
            text = words.CODING_TEMPLATE.format(operation=operation, letters=" ".join(letters))
            tasks.append(ProgramTask(text, "coding", weight, operation, letters))
    return tasks
