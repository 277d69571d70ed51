"""Models, data sets, prompt sets, suites and presets by name: data files beside this module.

An entry names things without importing them; what it names may be absent from this machine.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, PositiveInt, TypeAdapter

from ablate.spec.config import Config
from ablate.spec.shapes import ModelShape

_FOLDER = Path(__file__).parent / "registry"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class PackageFile(Config):
    """A file inside an installed Python distribution, which is never imported."""

    distribution: str
    """Name on the package index."""
    file: str
    """Path inside the distribution."""


class DataFile(Config):
    """A file below the folder that ``ABLATE_DATA_DIR`` names."""

    file: str
    """Path below the folder."""
    format: str
    """Layout of its rows, as the data readers call it."""
    source: str
    """Where it comes from: repository and commit."""
    license: str
    """Its terms."""


class ModelEntry(Config):
    """A model by name."""

    description: str
    """What it is, in one line."""
    preset: str
    """Preset that holds unless the study names another."""
    world: Literal["tiny-instruct"] | None = None
    """The embedded world whose base model this is; None for an imported model."""
    package: PackageFile | None = None
    """Where the weights are, for an imported model."""
    format: Literal["hf", "gguf"] = "hf"
    """How the weights are stored, for an imported model."""
    layers: PositiveInt | None = None
    """Transformer blocks, where they are fixed."""
    width: PositiveInt | None = None
    """Size of the hidden states, where it is fixed."""
    shape: ModelShape | None = None
    """Its sizes, for an imported model."""
    sizes: dict[str, PositiveInt | None] = {}
    """Blocks kept by each reward-model size; None keeps all."""


class DatasetEntry(Config):
    """A data set by name."""

    description: str
    """What it is, in one line."""
    kinds: tuple[Literal["preferences", "demonstrations", "reward_evaluation"], ...]
    """What its rows can be used as; of a file, each kind reads a part of its own."""
    world: Literal["tiny-instruct"] | None = None
    """The world that generates it; None for a file."""
    data: DataFile | None = None
    """The file; None for generated data."""
    attributes: tuple[str, ...] = ()
    """What more than two replies a prompt are rated on, where that is known without reading it."""


class PromptsEntry(Config):
    """A prompt set by name."""

    description: str
    """What it is, in one line."""
    world: Literal["tiny-instruct"] | None = None
    """The world that generates it; None for ``dataset`` and for files."""
    data: DataFile | None = None
    """The file; None for generated prompts."""


class SuiteEntry(Config):
    """A suite by name."""

    description: str
    """What it is, in one line."""
    world: Literal["tiny-instruct"] | None = None
    """The world that generates it; None for files."""
    files: tuple[DataFile, ...] = ()
    """What it reads."""
    needs: tuple[Literal["network", "code_execution", "judge"], ...] = ()
    """What it takes beside a model."""
    items: dict[Literal["validation", "test"], tuple[int, ...]] = {}
    """Documents of each category behind its average, by split; what a plan's power rests on."""


class RewardEntry(Config):
    """A reward function of this package by name."""

    description: str
    """What it rewards, in one line."""
    entry: str
    """``module:attribute``."""


class Registry(Config):
    """Everything that a study can name."""

    models: dict[str, ModelEntry]
    """By the value of ``model``."""
    datasets: dict[str, DatasetEntry]
    """By the value of ``dataset``, ``sft.dataset`` and ``reward_evaluation.dataset``."""
    prompts: dict[str, PromptsEntry]
    """By the value of ``prompts``."""
    suites: dict[str, SuiteEntry]
    """By the value of ``evaluation.suite``."""
    rewards: dict[str, RewardEntry]
    """By the value of ``reward``, beside the rewards that are trained."""
    presets: dict[str, Annotated[dict[str, dict[str, Any]], Field(min_length=1)]]
    """By the value of ``preset``: values by section."""

    def named(self, kind: str) -> list[str]:
        """Return the names of a kind of data set."""
        return [name for name, entry in self.datasets.items() if kind in entry.kinds]


@cache
def registry() -> Registry:
    """Return the registry that ships with the package."""
    parts = ("models", "datasets", "prompts", "suites", "rewards", "presets")
    loaded = {part: yaml.load((_FOLDER / f"{part}.yaml").read_bytes(), _LOADER) for part in parts}
    return TypeAdapter(Registry).validate_python(loaded)
