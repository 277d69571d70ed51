"""Demonstrations for supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ablate.data.artifacts import DEMONSTRATIONS, read_records
from ablate.data.making import Wish, loaded, local_origin
from ablate.data.records import Demonstration
from ablate.spec.shaping import Origin, Shaping
from ablate.spec.stages import SftConfig

ROLE = "demonstrations"


def demonstrations_of(inputs: Mapping[str, Path], config: SftConfig) -> list[Demonstration]:
    """Return an SFT stage's demonstrations: its input's, or made here where it has none."""
    if ROLE in inputs:
        return list(read_records(inputs[ROLE], DEMONSTRATIONS))
    origin = Origin(**{name: getattr(config, name) for name in Origin.model_fields})
    return _made(origin, Wish("demonstrations", config.seed, config.examples), config)


def load_demonstrations(
    name: str, *, examples: int | None, seed: int, location: str = ""
) -> list[Demonstration]:
    """Return the demonstrations of a registry name or file, or a seeded subsample of them."""
    return _made(local_origin(name, location), Wish("demonstrations", seed, examples))


def _made(origin: Origin, wish: Wish, shaping: Shaping | None = None) -> list[Demonstration]:
    return [item for item in loaded(origin, wish, shaping)[0] if isinstance(item, Demonstration)]
