"""From what is typed after ``ablate data`` to where rows are and what is kept of them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ablate.errors import StudyError, SurroundingsError, nearest
from ablate.spec.data_sources import DataMaker, data_entry
from ablate.spec.datasets import DatasetDefinition
from ablate.spec.load import LoadedStudy
from ablate.spec.local_files import find_file
from ablate.spec.messages import one_of, structure_problems
from ablate.spec.names import Files, Kind, LocalFile, Missing, is_dataset_location
from ablate.spec.problems import Place
from ablate.spec.recipes import UnresolvedError
from ablate.spec.registry import DatasetEntry, PromptsEntry, registry
from ablate.spec.shaping import FILTERS, Origin, Shaping

OWN_PROMPTS = "dataset"
"""A name among the prompt sets that stands for a cell's own data and is no data set."""


@dataclass(frozen=True)
class Named:
    """A data set that was found."""

    name: str
    origin: Origin
    shaping: Shaping
    entry: DatasetEntry | PromptsEntry | None
    """What the registry says of it; None for files and hub ids."""
    definition: DatasetDefinition | None
    """What the study says of it."""

    @property
    def labeller(self) -> str:
        """Return who preferred, as the study or the registry says."""
        said = self.definition.labeller if self.definition is not None else ""
        return said or getattr(self.entry, "labeller", "")


def registry_names() -> list[str]:
    """Return every data set and prompt set of the registry, each once."""
    known = registry()
    return [n for n in dict.fromkeys([*known.datasets, *known.prompts]) if n != OWN_PROMPTS]


class Names(DataMaker):
    """Finds data sets by name as a study does."""

    def __init__(self, study: LoadedStudy | None = None, given: Mapping[str, object] | None = None):
        """Take a study whose definitions may be named, and fields that every set gets."""
        self._definitions: dict[str, DatasetDefinition] = {}
        self._folder = Path(".")
        self._given = dict(given or {})
        found: dict[tuple[Kind, str], LocalFile | Missing] = {}
        if study is not None:
            self._definitions |= study.files.datasets
            self._folder = Path(study.source.name).parent
            found |= study.files.found
        self._looked_up = found
        super().__init__(Files(found, self._definitions))

    def named(self, name: str) -> Named:
        """Return the data set of a name; raises StudyError or SurroundingsError saying what to do.

        An existing file or folder may be named without ``./``, unlike in a study.
        """
        defined = name in self._definitions
        name = name if defined or data_entry(name) is not None else _as_path(name)
        if not defined and (data_entry(name) is None or name == OWN_PROMPTS):
            if not is_dataset_location(name):
                raise StudyError(self._unknown(name))
        if self._given:
            _check_read(name, self._given)
            self._definitions[name] = _with(self._definitions.get(name), name, self._given)
        definition = self._definitions.get(name)
        self._look_up(name, definition)
        try:
            found, shaping = self._shaping(name, name)
        except UnresolvedError as error:
            named = error.message.startswith(repr(name))
            message = f"data set {error.message if named else f'{name!r}: {error.message}'}"
            raise (SurroundingsError if error.surroundings else StudyError)(message) from None
        shaping = shaping or Shaping()
        fields = {
            field: getattr(shaping, field)
            for field in Origin.model_fields
            if hasattr(shaping, field)
        }
        origin = Origin(**{**fields, **found})
        return Named(name, origin, shaping, data_entry(origin.dataset), definition)

    def _look_up(self, name: str, definition: DatasetDefinition | None) -> None:
        wanted = {name} if definition is None else set(definition.names())
        for entry in map(data_entry, tuple(wanted)):
            wanted |= {part.dataset for part in getattr(entry, "mix", ())}
        for part in wanted - self._definitions.keys() | ({name} & wanted):
            self._find("data", part)
        for suite in () if definition is None else definition.suites():
            self._find("suite", suite)

    def _find(self, kind: Kind, name: str) -> None:
        if (kind, name) in self._looked_up:
            return
        path = (self._folder / Path(name).expanduser()).absolute()
        if kind == "data" and data_entry(name) is None and path.exists():
            # Its hash, which a study needs, would take a pass over the file.
            self._looked_up[kind, name] = LocalFile("", str(path))
        elif found := find_file(kind, name, self._folder):
            self._looked_up[kind, name] = found

    def _unknown(self, name: str) -> str:
        known = [*registry_names(), *self._definitions]
        return (
            f"data set {name!r}: no name of the registry or of the study, no file or folder here, "
            f"and no hub id (owner/name@commit, of 40 digits).{nearest(name, known)} "
            "The names: ablate data."
        )


def _check_read(name: str, given: Mapping[str, object]) -> None:
    """Refuse to rename columns of what is made and not read."""
    asked = [f"--{field}" for field in ("columns", "layout", "split", "subset") if field in given]
    entry = data_entry(name)
    if asked and entry is not None and entry.world is not None:
        raise StudyError(
            f"data set {name!r}: it is generated and not read, so {' and '.join(asked)} cannot be "
            "set. Leave that out, or name a file."
        )


def _as_path(name: str) -> str:
    is_location = is_dataset_location(name)
    return f"./{name}" if not is_location and Path(name).exists() else name


def _with(
    definition: DatasetDefinition | None, name: str, given: Mapping[str, object]
) -> DatasetDefinition:
    """Return a definition changed by fields from the command line."""
    fields: dict[str, object] = {"dataset": name}
    if definition is not None:
        fields = {field: getattr(definition, field) for field in definition.model_fields_set}
    try:
        made = DatasetDefinition.model_validate({**fields, **given})
    except ValidationError as error:
        problems = structure_problems(error.errors(include_url=False), partial(_allowed, given))
        said = (f"--{problem.place[0]}: {problem.message}" for problem in problems)
        raise StudyError(
            "\n".join(dict.fromkeys(line.replace("..", ".") for line in said))
        ) from None
    if unknown := [suite for suite in made.suites() if suite not in registry().suites]:
        raise StudyError(f"--filters: contamination: {one_of(unknown[0], registry().suites)}")
    return made


def _allowed(given: Mapping[str, Any], place: Place) -> list[str]:
    """Return the fields of the filter at a place, or those of a definition."""
    if place[:1] != ("filters",) or len(place) < 2:
        return list(DatasetDefinition.model_fields)
    item = given["filters"][place[1]]
    name = next(iter(item)) if isinstance(item, Mapping) else str(item)
    return [field for field in FILTERS[name].model_fields if field != "kind"]


def fields_of(args: argparse.Namespace) -> dict[str, object]:
    """Return the fields of a definition that options say.

    Columns are written ``prompt=question,chosen=good``, filters as in a study:
    ``refusals,{length: {max: 400}}``.
    """
    given: dict[str, object] = {
        name: getattr(args, name)
        for name in ("layout", "split", "subset")
        if getattr(args, name) is not None
    }
    if args.columns:
        given["columns"] = dict(
            _assigned(part) for text in args.columns for part in text.split(",")
        )
    if args.filters:
        given["filters"] = tuple(item for text in args.filters for item in _listed(text))
    return given


def _assigned(text: str) -> tuple[str, str]:
    ours, equal, theirs = (part.strip() for part in text.partition("="))
    if not (ours and equal and theirs):
        raise StudyError(
            f"--columns: {text!r} is no OURS=THEIRS. Write prompt=question for a file whose column "
            "question holds the prompt; separate several by commas."
        )
    return ours, theirs


def _listed(text: str) -> list[object]:
    try:
        found = yaml.safe_load(f"[{text}]")
    except yaml.YAMLError as error:
        raise StudyError(
            f"--filters: {text!r} cannot be read ({getattr(error, 'problem', error)}). Write names "
            "such as refusals,duplicates, or fields too: 'length: {max: 400}'."
        ) from None
    return list(found)
