"""The data of tiny-instruct: corpus, demonstrations, prompts and evaluation documents."""

from __future__ import annotations

from functools import cache
from typing import Literal

from ablate.data.records import Demonstration, Document, Prompt, user
from ablate.data.streams import Draws, distinct_draw, generator, spread_draw
from ablate.data.tiny.catalogue import WORLD, TaskSampler, evenly, tasks_of
from ablate.data.tiny.personas import reply
from ablate.data.tiny.tasks import CATEGORIES, Category

BASE_GOOD_SHARE = 0.9
BASE_WEIGHTS: dict[Category, float] = {**evenly(), "reasoning": 1.5, "coding": 2.2}
"""The base corpus dwells on what is hardest to learn."""
SFT_GOOD_SHARE = 0.5
SFT_EXAMPLES = 3000

PROMPT_WEIGHTS: dict[str, dict[Category, float]] = {
    "tiny-mixed": evenly(),
    "tiny-reasoning": {**dict.fromkeys(CATEGORIES, 0.4), "reasoning": 3.0},
}
"""Weights of the categories in each prompt set."""
PROMPT_EXAMPLES = 4096

DOCUMENTS = {"validation": 64, "test": 128}
"""Evaluation documents of each category."""


def corpus(seed: int, examples: int) -> list[Demonstration]:
    """Return the text that the base model learns the world from: mostly good replies."""
    draws = Draws(seed, "tiny-instruct/corpus")
    return _demonstrations(draws, BASE_WEIGHTS, BASE_GOOD_SHARE, examples)


def demonstrations(seed: int, examples: int = SFT_EXAMPLES) -> list[Demonstration]:
    """Return the SFT data: half good, half sloppy, so that a policy can do better than it does."""
    draws = Draws(seed, "tiny-instruct/demonstrations")
    return _demonstrations(draws, evenly(), SFT_GOOD_SHARE, examples)


def _demonstrations(
    draws: Draws, weights: dict[Category, float], good_share: float, examples: int
) -> list[Demonstration]:
    sampler = TaskSampler("train", weights)
    made: list[Demonstration] = []
    for _ in range(examples):
        task = sampler.draw(draws)
        text = reply(task, good_share=good_share, draws=draws)
        made.append(Demonstration(user(task.prompt), text, task.category))
    return made


def prompts(name: str, seed: int, examples: int = PROMPT_EXAMPLES) -> list[Prompt]:
    """Return a prompt set from the train split, in random order.

    Prompts are distinct as long as a category has enough of them. ``name`` is a key of
    `PROMPT_WEIGHTS`.
    """
    rng = generator(seed, f"tiny-instruct/prompts/{name}")
    chosen = []
    for category, size in _shares(PROMPT_WEIGHTS[name], examples).items():
        tasks = tasks_of("train")[category]
        indices = distinct_draw([task.weight for task in tasks], size, rng)
        chosen += [tasks[index] for index in indices]
    order = distinct_draw([1.0] * len(chosen), len(chosen), rng)
    return [
        Prompt(f"{name}-{seed}-{n}", user(chosen[i].prompt), chosen[i].category, WORLD)
        for n, i in enumerate(order)
    ]


def _shares(weights: dict[Category, float], total: int) -> dict[Category, int]:
    """Split a total in proportion, the remainder to the largest fractions."""
    exact = {key: total * weight / sum(weights.values()) for key, weight in weights.items()}
    whole = {key: int(value) for key, value in exact.items()}
    by_fraction = sorted(exact, key=lambda key: whole[key] - exact[key])
    for key in by_fraction[: total - sum(whole.values())]:
        whole[key] += 1
    return whole


@cache
def documents(split: Literal["validation", "test"]) -> tuple[Document, ...]:
    """Return the evaluation documents of a split, the same ones for every seed, all distinct.

    Their order is random within a category, so that the first few are a fair sample too.
    """
    found: list[Document] = []
    for category in CATEGORIES:
        tasks = tasks_of(split)[category]
        rng = generator(0, f"tiny-instruct/documents/{split}/{category}")
        chosen = spread_draw([task.weight for task in tasks], DOCUMENTS[split], rng)
        for n, index in enumerate(chosen):
            task = tasks[index]
            target = task.right(Draws(n, f"tiny-instruct/targets/{split}/{category}"))
            id_ = f"{category}-{split}-{n}"
            found.append(Document(id_, user(task.prompt), category, target, WORLD))
    return tuple(found)
