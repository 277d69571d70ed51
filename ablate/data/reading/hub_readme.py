"""The front matter of a data set's README.md, and what may be read of a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from ablate.data.reading.files import format_of
from ablate.data.reading.limits import visible
from ablate.errors import StageError, SurroundingsError, nearest

MOST_DESCRIBED = 1 << 22
"""Bytes read of a file that describes a folder."""
MOST_NAMED = 10
"""Names written out in a message."""


def configured(folder: Path, subset: str | None, split: str) -> list[Path] | None:
    """Return the files that the front matter of README.md names; None where it names none."""
    readme = folder / "README.md"
    configs = _front_matter(readme).get("configs") if readme.is_file() else None
    if not isinstance(configs, list):
        return None
    # Names are not written out but where they are text: YAML can spell nested lists of any size.
    known = [c for c in configs if isinstance(c, Mapping)]
    named = {c["config_name"]: c for c in known if isinstance(c.get("config_name"), str)}
    defaults = [name for name, config in named.items() if config.get("default") is True]
    name = subset or next(iter(defaults), "default" if "default" in named else None)
    if name is None and len(named) == 1:
        (name,) = named
    if name not in named:
        found = "none is named" if name is None else f"{name!r} is not one of them"
        raise SurroundingsError(
            f"{readme}: the configurations are {_few(named)}; {found}."
            f"{visible(nearest(name, named))} Set subset."
        )
    if (data_files := named[name].get("data_files")) is None:
        return None
    patterns = _patterns(readme, data_files)
    if split not in patterns:
        raise no_split(folder, split, list(patterns))
    return [path for pattern in patterns[split] for path in _matching(folder, pattern)]


def _patterns(readme: Path, data_files: Any) -> dict[str, list[str]]:
    """Return patterns by split, of every form that ``data_files`` may have."""
    if isinstance(data_files, Mapping):
        data_files = [{"split": split, "path": path} for split, path in data_files.items()]
    if isinstance(data_files, str):
        data_files = [data_files]
    if not isinstance(data_files, list):
        raise bad_folder(readme, f"'data_files' is {type(data_files).__name__}; a list is needed")
    patterns: dict[str, list[str]] = {}
    for item in data_files:
        item = {"split": "train", "path": item} if isinstance(item, str) else item
        path = item.get("path") if isinstance(item, Mapping) else None
        paths = [path] if isinstance(path, str) else path
        if not isinstance(paths, list) or not all(isinstance(one, str) for one in paths):
            raise bad_folder(readme, "'data_files' has an entry without a path")
        if not isinstance(split := item.get("split", "train"), str):
            raise bad_folder(readme, f"'data_files' has a split that is {type(split).__name__}")
        patterns.setdefault(split, []).extend(paths)
    return patterns


def _matching(folder: Path, pattern: str) -> list[Path]:
    """Return the files below a folder that a pattern matches."""
    if "://" in pattern:
        raise bad_folder(folder / "README.md", f"{pattern!r:.80} is an address; a file is needed")
    if pattern.startswith(("/", "~")) or ".." in pattern.split("/"):
        raise _outside(folder, pattern)
    # Here ``**`` at the end stands for folders alone; on the hub for all that is below.
    below = f"{pattern}/*" if pattern.endswith("**") else pattern
    matches = (path for path in folder.glob(below) if format_of(path))
    found = sorted(path for path in matches if not _is_hidden(path.relative_to(folder)))
    if not found:
        raise bad_folder(folder / "README.md", f"{pattern!r:.80} matches no file of rows")
    return [inside(folder, path.relative_to(folder).as_posix()) for path in found]


def inside(folder: Path, name: str) -> Path:
    """Return a file of a folder; refuse one that lies elsewhere.

    A snapshot in the hub's cache is the exception: its files are links into ``blobs`` beside it.
    """
    path, root = folder / name, folder.resolve()
    blobs = [parent.parent / "blobs" for parent in root.parents if parent.name == "snapshots"]
    real = path.resolve()
    if not any(real.is_relative_to(allowed) for allowed in (root, *blobs)):
        raise _outside(folder, name)
    place = path.parent.resolve()
    if place.is_relative_to(root) and _is_hidden(place.relative_to(root) / path.name):
        raise bad_folder(folder, f"{name!r:.80} is hidden, where no file is read")
    return path


def _is_hidden(path: Path) -> bool:
    """Return whether a file of a folder is none of its content, which the plan's hash covers."""
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def described(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file that describes a folder."""
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(MOST_DESCRIBED))
    except (OSError, ValueError, RecursionError) as error:
        raise bad_folder(path, f"not valid JSON ({error})") from error
    if not isinstance(found, dict):
        raise bad_folder(path, f"found {type(found).__name__}; a JSON object is needed")
    return found


def _front_matter(readme: Path) -> Mapping[str, Any]:
    """Return what stands between the first two lines of three dashes."""
    try:
        with open(readme, "rb") as file:
            text = file.read(MOST_DESCRIBED).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise bad_folder(readme, f"not text in UTF-8 ({error})") from error
    match = re.match(r"---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    try:
        found = yaml.safe_load(match[1]) if match else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = str(error).replace("\n", " ")
        raise bad_folder(readme, f"its front matter is no valid YAML ({line:.200})") from error
    return found if isinstance(found, Mapping) else {}


def bad_folder(path: Path, reason: str) -> StageError:
    """Return the error of a file that describes its folder wrongly."""
    return StageError(visible(f"{path}: {reason}. Correct the file."), kind="bad_data")


def _outside(folder: Path, name: str) -> StageError:
    reason = f"{name!r:.80} is outside the folder, where no file is read. Copy it into the folder."
    return StageError(visible(f"{folder}: {reason}"), kind="bad_data")


def no_split(folder: Path, split: str, found: list[str]) -> SurroundingsError:
    """Return the error of a split that is not there, with what is."""
    return SurroundingsError(
        f"{folder}: there is no split {split!r}; found {_few(found) or 'none'}. Set split."
    )


def _few(names: Collection[str]) -> str:
    """Return the first names of many."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(visible(name[:80]) for name in islice(names, MOST_NAMED)) + more
