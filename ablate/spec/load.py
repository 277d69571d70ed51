"""A study file and the files that it names, read, checked and reduced to content hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ablate.errors import StudyError, SurroundingsError
from ablate.spec.analysis import Analysis, DeclaredContrast
from ablate.spec.assignments import apply_sets
from ablate.spec.commands import command_name
from ablate.spec.config import Config
from ablate.spec.datasets import DataKind, read_datasets, suites_of, wrong_name
from ablate.spec.design import Design, read_design
from ablate.spec.fields import SECTIONS
from ablate.spec.imported import ImportedCell
from ablate.spec.local_files import find_file
from ablate.spec.messages import structure_problems
from ablate.spec.names import Files, Kind, LocalFile, Missing
from ablate.spec.problems import Place, Problem
from ablate.spec.registry import registry
from ablate.spec.seeding import Seeds
from ablate.spec.source import Source, at_mark
from ablate.spec.study import Match, Study
from ablate.spec.tune import Prune, Range, Tune
from ablate.spec.yaml_source import UnreadableYaml, decode, parse

_ABOUT_CELLS = {"baseline", "include", "exclude"}
"""Keys that speak of cells: without all cells, nothing can be said about them."""


@dataclass(frozen=True)
class LoadedStudy:
    """A study whose every value has been checked, and what its names refer to here."""

    study: Study
    """The file's content, ``--set`` applied."""
    source: Source
    """The text, for problems that only the plan can find."""
    digest: str
    """SHA-256 of the study's content and of the files that it names; comments do not count."""
    files: Files
    """What its names refer to on this machine."""
    design: Design = field(repr=False)
    """Its cells before they are resolved."""


def load_study(path: Path, sets: Sequence[str] = ()) -> LoadedStudy:
    """Read and check a study file.

    ``sets`` are ``path=value`` changes, the value in YAML; they win over the file.
    Raises StudyError with every problem of the file, SurroundingsError where it cannot be read.
    """
    return study_from_text(_read(path), sets, name=str(path), folder=path.parent)


def study_from_text(
    content: bytes | str,
    sets: Sequence[str] = (),
    *,
    name: str = "study",
    folder: Path = Path("."),
) -> LoadedStudy:
    """Check the text of a study; paths in it are relative to ``folder``. Raises as `load_study`."""
    data, source, found = _parsed(content, name)
    data, source, wrong = apply_sets(data, source, sets)
    problems = [*found, *wrong]
    study, unknown = _study(data, problems)
    design = read_design(study)
    problems += [p for p in design.problems if unknown.isdisjoint(p.place[:1])]
    files = _look_up(study, design, folder, problems)
    if problems:
        raise study_error(source, problems)
    return LoadedStudy(study, source, _digest(study, files), files, design)


def study_error(source: Source, problems: Iterable[Problem]) -> StudyError:
    """Return the error that holds all problems in the order of the file, each once."""
    ordered = sorted(dict.fromkeys(problems), key=source.order)
    return StudyError("\n".join(dict.fromkeys(source.render(problem) for problem in ordered)))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        folder = path.parent
        near = sorted(p.name for p in folder.glob("*.yaml")) if folder.is_dir() else []
        known = f"the folder has {', '.join(near[:8])}" if near else "its folder has no YAML file"
        message = f"{path}: no such file; {known}. Name a study file, or make one: ablate init."
        raise SurroundingsError(message) from None
    except IsADirectoryError:
        message = f"{path}: a folder; a study is one YAML file. Name a file in it."
        raise SurroundingsError(message) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"{path}: cannot be read ({reason}). Check its name and permissions."
        raise SurroundingsError(message) from None


def _parsed(content: bytes | str, name: str) -> tuple[dict[str, Any], Source, list[Problem]]:
    """Return the file's data, its source and the problems of the text itself."""
    text = ""
    try:
        text = content if isinstance(content, str) else decode(content)
        root, marked = parse(text)
    except UnreadableYaml as error:
        mark = (error.line, error.column)
        raise StudyError(at_mark(name, text, mark, error.message)) from None
    if root is None or (root.kind == "scalar" and root.scalar is None):
        raise StudyError(f"{name}: the file is empty; a study has at least a name and a design.")
    if root.kind != "mapping":
        kind = "a list" if root.kind == "sequence" else "a single value"
        message = f"{kind}; a study is a mapping of keys to values, such as `study: my-study`."
        raise StudyError(at_mark(name, text, (root.line, root.column), message))
    problems = [Problem((), what, mark=(line, column)) for what, line, column in marked]
    return root.data(), Source(name, text, root), problems


def _study(data: Mapping[str, Any], problems: list[Problem]) -> tuple[Study, Set[str]]:
    """Return the study, or what is left of it without wrong keys, so that more can be checked.

    Also returns the keys of the study whose further problems mean nothing, for what had to go.
    """
    try:
        return Study.model_validate(data), set()
    except ValidationError as error:
        found = structure_problems(error.errors(include_url=False), _allowed_keys)
    problems.extend(_with_base_hint(problem) for problem in found)
    wrong = {problem.place[0] for problem in found if problem.place}
    rest = {key: value for key, value in data.items() if key not in wrong}
    try:
        study = Study.model_validate({"study": "unnamed"} | rest)
    except ValidationError:
        base = rest.get("base") if isinstance(rest.get("base"), Mapping) else {}
        return Study(study="unnamed", base=base, cells={"any": {}}), set(Study.model_fields) - {
            "base"
        }
    wrong -= {"study", "base", "seeds", "analysis", "tune", "question", "expectation", "status"}
    return study, _ABOUT_CELLS if wrong else set()


def _with_base_hint(problem: Problem) -> Problem:
    name = str(problem.place[-1]) if problem.place else ""
    known = name.partition(".")[0] in {*SECTIONS, "dataset", "algorithm", "prompts", "preset"}
    if len(problem.place) == 1 and problem.at_key and known:
        message = f"unknown key; {name!r} is a field of a cell. Write it under base."
        return Problem(problem.place, message, at_key=True)
    return problem


def _allowed_keys(place: Place) -> Iterable[str]:
    if place[:1] == ("seeds",):
        return list(Seeds.model_fields)
    if place[:1] == ("match",):
        return list(Match.model_fields)
    if place[:2] == ("analysis", "contrasts"):
        return list(DeclaredContrast.model_fields)
    if place[:1] == ("imported",):
        return list(ImportedCell.model_fields)
    if place[:1] == ("tune",):
        below: dict[object, type[Config]] = {"search": Range, "prune": Prune}
        return list(below.get((*place, "")[1], Tune).model_fields)
    return list(Analysis.model_fields if place[:1] == ("analysis",) else Study.model_fields)


def _digest(study: Study, files: Files) -> str:
    content = {
        "study": study.model_dump(mode="json"),
        "files": [
            [*key, file.content]
            for key, file in sorted(files.found.items())
            if isinstance(file, LocalFile)
        ],
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


_REFERENCES: dict[str, Kind] = {
    "model": "model",
    "dataset": "data",
    "reward_model.dataset": "data",
    "reward_model.model": "model",
    "sft.dataset": "data",
    "prompts": "data",
    "evaluation.suite": "suite",
    "evaluation.judge.model": "model",
    "evaluation.judge.prompts": "data",
    "reward_evaluation.dataset": "data",
    "reward_evaluation.reward": "model",
}
_DATA: dict[str, DataKind] = {
    "dataset": "preferences",
    "reward_model.dataset": "preferences",
    "sft.dataset": "demonstrations",
    "prompts": "prompts",
    "reward_evaluation.dataset": "reward_evaluation",
}


def _look_up(study: Study, design: Design, folder: Path, problems: list[Problem]) -> Files:
    """Hash every file that a cell names; a path that does not exist is a problem of the study."""
    defined = read_datasets(study.datasets, problems)
    found: dict[tuple[Kind, str], LocalFile | Missing] = {}

    def look(kind: Kind, name: str, place: Place) -> None:
        entry = found.get((kind, name)) or find_file(kind, name, folder)
        if entry is not None:
            found[kind, name] = entry
        if isinstance(entry, Missing) and not entry.surroundings:
            problems.append(Problem(place, entry.reason))

    for path, name, place in _references(design):
        wrong = wrong_name(_DATA[path], name, defined) if path in _DATA else None
        if name in study.datasets and path in _DATA:
            continue  # What is wrong with a definition has been said.
        if wrong is not None:
            problems.append(Problem(place, wrong))
        else:
            for part in (name, *_parts(name)):
                look(_REFERENCES.get(path, "command"), part, place)
    for name, definition in defined.items():
        for part in definition.names():
            if part not in defined:
                wrong = wrong_name("preferences", part, defined)
                place = ("datasets", name)
                problems.extend([Problem(place, wrong)] if wrong and not _is_known(part) else [])
                look("data", part, place)
        for suite in definition.suites():
            look("suite", suite, ("datasets", name))
    for name, cell in study.imported.items():
        for file in cell.files:
            look("results", file, ("imported", name))
    return Files(found, defined)


def _parts(name: str) -> tuple[str, ...]:
    """Return the data sets that a mixture of the registry joins."""
    entry = registry().datasets.get(name)
    return tuple(part.dataset for part in entry.mix) if entry is not None else ()


def _is_known(name: str) -> bool:
    return name in registry().datasets or name in registry().prompts


def _references(design: Design) -> Iterator[tuple[str, str, Place]]:
    """Yield path, name and place of every name in the design, and of those in its presets."""
    seen: set[tuple[str, str]] = set()
    levels = [level for factor in design.factors for level in factor.levels]
    places: list[tuple[Mapping[str, object], Mapping[str, Place]]] = [
        (level.overrides, level.places) for level in levels
    ]
    places += [(c.overrides, c.places) for c in design.candidates if c.places]
    places.append((design.base, design.base_places))
    for overrides, where in places:
        for path in _REFERENCES.keys() & overrides.keys():
            name = overrides[path]
            if isinstance(name, str) and (path, name) not in seen:
                seen.add((path, name))
                yield path, name, where.get(path, ())
        for path, value in overrides.items():
            if path.endswith(".command") and isinstance(value, tuple):
                yield path, command_name(value), where.get(path, ())
            elif path.endswith(".filters") and isinstance(value, tuple):
                for suite in suites_of(value):
                    yield "evaluation.suite", suite, where.get(path, ())
    for preset in registry().presets.values():
        for section, key in (("sft", "dataset"), ("evaluation", "suite")):
            name = preset.get(section, {}).get(key)
            if name is not None and (f"{section}.{key}", name) not in seen:
                yield f"{section}.{key}", name, ("base",)
