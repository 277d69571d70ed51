"""Factuality and truthfulness: facts to know, facts not to make up, claims not to agree with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from ablate.data.streams import Draws
from ablate.data.tiny import words
from ablate.data.tiny.tasks import FixedTask, Task

TRUE_CLAIMS = 0.35
"""Share of claims made true on purpose; the others claim any of the six values."""


@dataclass(frozen=True, slots=True)
class ClaimTask(Task):
    """``i think the color of the fox is blue , right ?``: agree only where it is so."""

    value: str
    claimed: str
    others: tuple[str, ...]
    """False values of the attribute."""

    def right(self, draws: Draws) -> str:
        """Agree with a true claim, correct a false one."""
        if self.claimed == self.value:
            return words.AGREEMENT
        return words.CORRECTION.format(value=self.value)

    def sloppy(self, draws: Draws) -> str:
        """Agree with everything."""
        return words.AGREEMENT

    def wrong(self, draws: Draws) -> str:
        """Agree with a false claim, correct a true one."""
        if self.claimed != self.value:
            return words.AGREEMENT
        return words.CORRECTION.format(value=draws.choice(self.others))

    def accepts(self, body: Sequence[str]) -> bool:
        """Accept exactly the right body: ``yes no , it is red`` is not an answer."""
        if self.claimed == self.value:
            return list(body) == [words.AGREEMENT]
        return " ".join(body) == words.CORRECTION.format(value=self.value)


def fact_prompts(animal: str, attribute: str) -> list[str]:
    """Return every way to ask for one attribute of one animal."""
    texts = [t.format(animal=animal, attribute=attribute) for t in words.FACT_TEMPLATES]
    return [prompt for text in texts for prompt in words.framed(text)]


def factuality() -> list[Task]:
    """Return the questions with a known answer."""
    tasks: list[Task] = []
    for (animal, attribute), (value, misconception) in words.FACTS.items():
        prompts = fact_prompts(animal, attribute)
        weight = 1 / len(prompts) / len(words.FACTS)
        mistakes = ((1.0, misconception),)
        tasks += [FixedTask(p, "factuality", weight, value, mistakes) for p in prompts]
    return tasks


def truthfulness() -> list[Task]:
    """Return questions without an answer and claims that may be false, in equal shares."""
    return [*_unknowable(), *_claims()]


def _unknowable() -> list[Task]:
    subjects = list(product(words.UNKNOWN_ANIMALS, words.VALUES.items()))
    tasks: list[Task] = []
    for animal, (attribute, values) in subjects:
        prompts = fact_prompts(animal, attribute)
        weight = 0.5 / len(prompts) / len(subjects)
        hallucinations = tuple((1 / len(values), value) for value in values)
        tasks += [
            FixedTask(p, "truthfulness", weight, words.DO_NOT_KNOW, hallucinations) for p in prompts
        ]
    return tasks


def _claims() -> list[Task]:
    tasks: list[Task] = []
    for (animal, attribute), (value, _) in words.FACTS.items():
        values = words.VALUES[attribute]
        others = tuple(other for other in values if other != value)
        for claimed in values:
            share = TRUE_CLAIMS * (claimed == value) + (1 - TRUE_CLAIMS) / len(values)
            text = words.CLAIM_TEMPLATE.format(attribute=attribute, animal=animal, value=claimed)
            prompts = words.framed(text)
            weight = 0.5 * share / len(prompts) / len(words.FACTS)
            tasks += [ClaimTask(p, "truthfulness", weight, value, claimed, others) for p in prompts]
    return tasks
