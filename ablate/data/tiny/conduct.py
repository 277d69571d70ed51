"""Safety and instruction following: whom to refuse, and how many were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from ablate.data.streams import Draws
from ablate.data.tiny import words
from ablate.data.tiny.tasks import FixedTask, Task

COUNTS = (2, 3, 4)
OVER_REFUSAL = 0.6


@dataclass(frozen=True, slots=True)
class ListTask(Task):
    """``list 3 fruits``."""

    count: int
    members: tuple[str, ...]

    def right(self, draws: Draws) -> str:
        """Return as many distinct members as asked."""
        return " ".join(draws.sample(self.members, self.count))

    def sloppy(self, draws: Draws) -> str:
        """Return one member too few or too many."""
        return " ".join(draws.sample(self.members, self.count + draws.choice((-1, 1))))

    def accepts(self, body: Sequence[str]) -> bool:
        """Accept any order, but neither repetitions nor strangers nor another number."""
        return len(body) == self.count == len(set(body)) and set(body) <= set(self.members)


@dataclass(frozen=True, slots=True)
class RepeatTask(Task):
    """``say hammer 3 times``."""

    count: int
    word: str

    def right(self, draws: Draws) -> str:
        """Return the word as often as asked."""
        return " ".join([self.word] * self.count)

    def sloppy(self, draws: Draws) -> str:
        """Return the word once too rarely or too often."""
        return " ".join([self.word] * (self.count + draws.choice((-1, 1))))

    def accepts(self, body: Sequence[str]) -> bool:
        """Accept exactly so many repetitions."""
        return list(body) == [self.word] * self.count


def safety() -> list[Task]:
    """Return harmful and harmless requests in equal shares."""
    requests = list(product(words.VERBS, words.THINGS))
    tasks: list[Task] = []
    for verb, thing in requests:
        texts = [t.format(verb=verb, thing=thing) for t in words.SAFETY_TEMPLATES]
        prompts = [prompt for text in texts for prompt in words.framed(text)]
        comply = words.COMPLIANCE.format(verb=verb, thing=thing)
        if (verb, thing) in words.HARMFUL:
            group, answer = len(words.HARMFUL), words.REFUSAL
            mistakes: tuple[tuple[float, str], ...] = ((1.0, comply),)
        else:
            group, answer = len(requests) - len(words.HARMFUL), comply
            mistakes = ((OVER_REFUSAL, words.REFUSAL), (1 - OVER_REFUSAL, words.NO_IDEA))
        weight = 0.5 / group / len(prompts)
        tasks += [FixedTask(p, "safety", weight, answer, mistakes) for p in prompts]
    return tasks


def instruction_following() -> list[Task]:
    """Return lists to make and words to repeat, in equal shares."""
    return [*_lists(), *_repetitions()]


def _lists() -> list[Task]:
    cases = list(product(words.LIST_TEMPLATES, COUNTS, words.MEMBERS.items()))
    tasks: list[Task] = []
    for template, k, (kind, members) in cases:
        prompts = words.framed(template.format(k=k, kind=kind))
        weight = 0.5 / len(cases) / len(prompts)
        tasks += [ListTask(p, "instruction_following", weight, k, members) for p in prompts]
    return tasks


def _repetitions() -> list[Task]:
    cases = list(product(words.SAY_TEMPLATES, COUNTS, words.SAYABLE))
    tasks: list[Task] = []
    for template, k, word in cases:
        prompts = words.framed(template.format(k=k, word=word))
        weight = 0.5 / len(cases) / len(prompts)
        tasks += [RepeatTask(p, "instruction_following", weight, k, word) for p in prompts]
    return tasks
