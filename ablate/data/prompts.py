"""Prompt sets to sample replies to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ablate.data.artifacts import PROMPTS, read_records
from ablate.data.making import Wish, loaded, local_origin
from ablate.data.records import Prompt
from ablate.spec.online import OnlineConfig
from ablate.spec.shaping import Origin, Shaping
from ablate.spec.stages import SamplesConfig

ROLE = "prompts"


def prompts_of(inputs: Mapping[str, Path], config: OnlineConfig | SamplesConfig) -> list[Prompt]:
    """Return a sampling stage's own prompt set: its input's, or made here where it has none.

    Rows that share a prompt give it once.
    """
    if ROLE in inputs:
        return list(read_records(inputs[ROLE], PROMPTS))
    origin = Origin(
        dataset=config.prompts, content=config.prompts_content, location=config.prompts_location
    )
    wish = Wish("prompts", config.seed, config.prompts_examples)
    return _made(origin, wish, config.prompts_shaping)


def load_prompts(name: str, *, examples: int | None, seed: int, location: str = "") -> list[Prompt]:
    """Return the prompts of a registry name or file, or a seeded subsample of them."""
    return _made(local_origin(name, location), Wish("prompts", seed, examples))


def _made(origin: Origin, wish: Wish, shaping: Shaping | None = None) -> list[Prompt]:
    return [item for item in loaded(origin, wish, shaping)[0] if isinstance(item, Prompt)]
