"""Which files of a folder are one split: Arrow folders, and folders laid out as on the hub.

Only files of rows are looked at. A script beside them is never run, and a name that leads out of
the folder is refused.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ablate.data.reading.files import FORMATS, format_of
from ablate.errors import StageError, SurroundingsError, nearest

MOST_FILES = 10_000
"""Files of a folder that are looked at; more of them are no data set."""
MOST_DESCRIBED = 1 << 22
"""Bytes read of a file that describes a folder."""
_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""Words in a file's path that name a split."""
_DESCRIPTIONS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
_NUMBERED = re.compile(r"(.+)-\d+-of-\d+([-_]\w+)?")
"""A split that is cut into numbered files, whose name is then said exactly."""


def split_files(folder: Path, *, subset: str | None, split: str) -> list[Path]:
    """Return the files of one split in the order of their names."""
    if (folder / "dataset_dict.json").is_file():
        names = _described(folder / "dataset_dict.json").get("splits")
        if not isinstance(names, list) or split not in names:
            raise _no_split(folder, split, [str(name) for name in names or ()])
        folder = _inside(folder, split)
    if (folder / "state.json").is_file():
        return _arrow_folder(folder)
    found = _configured(folder, subset, split)
    return sorted(_by_names(folder, subset, split) if found is None else found)


def _arrow_folder(folder: Path) -> list[Path]:
    """Return the files that a data set saved by the library ``datasets`` names, in its order."""
    listed = _described(folder / "state.json").get("_data_files")
    if not isinstance(listed, list) or not all(isinstance(item, Mapping) for item in listed):
        raise _bad(folder / "state.json", "'_data_files' is no list of objects")
    return [_inside(folder, str(item.get("filename"))) for item in listed]


def _configured(folder: Path, subset: str | None, split: str) -> list[Path] | None:
    """Return the files that the front matter of README.md names; None where it names none."""
    readme = folder / "README.md"
    configs = _front_matter(readme).get("configs") if readme.is_file() else None
    if not isinstance(configs, list):
        return None
    named = {
        str(c["config_name"]): c for c in configs if isinstance(c, Mapping) and "config_name" in c
    }
    defaults = [name for name, config in named.items() if config.get("default") is True]
    name = subset or next(iter(defaults), "default" if "default" in named else None)
    if name is None and len(named) == 1:
        (name,) = named
    if name not in named:
        found = "none is named" if name is None else f"{name!r} is not one of them"
        raise SurroundingsError(
            f"{readme}: the configurations are {', '.join(named)}; {found}."
            f"{nearest(name, named)} Set subset."
        )
    if (data_files := named[name].get("data_files")) is None:
        return None
    patterns = _patterns(readme, data_files)
    if split not in patterns:
        raise _no_split(folder, split, list(patterns))
    return [path for pattern in patterns[split] for path in _matching(folder, pattern)]


def _patterns(readme: Path, data_files: Any) -> dict[str, list[str]]:
    """Return patterns by split, of every form that ``data_files`` may have."""
    if isinstance(data_files, Mapping):
        data_files = [{"split": split, "path": path} for split, path in data_files.items()]
    if isinstance(data_files, str):
        data_files = [data_files]
    if not isinstance(data_files, list):
        raise _bad(readme, f"'data_files' is {type(data_files).__name__}; a list is needed")
    patterns: dict[str, list[str]] = {}
    for item in data_files:
        item = {"split": "train", "path": item} if isinstance(item, str) else item
        path = item.get("path") if isinstance(item, Mapping) else None
        paths = [path] if isinstance(path, str) else path
        if not isinstance(paths, list) or not all(isinstance(one, str) for one in paths):
            raise _bad(readme, "'data_files' has an entry without a path")
        patterns.setdefault(str(item.get("split", "train")), []).extend(paths)
    return patterns


def _matching(folder: Path, pattern: str) -> list[Path]:
    """Return the files below a folder that a pattern matches."""
    if "://" in pattern:
        raise _bad(folder / "README.md", f"{pattern!r:.80} is an address; a file is needed")
    if pattern.startswith(("/", "~")) or ".." in pattern.split("/"):
        raise _outside(folder, pattern)
    found = sorted(path for path in folder.glob(pattern) if format_of(path))
    if not found:
        raise _bad(folder / "README.md", f"{pattern!r:.80} matches no file of rows")
    return [_inside(folder, path.relative_to(folder).as_posix()) for path in found]


def _by_names(folder: Path, subset: str | None, split: str) -> list[Path]:
    """Return the files whose names say that they are of a split."""
    base = folder if subset is None else _inside(folder, subset)
    files = list(_rows_below(base))
    if not files:
        raise SurroundingsError(
            f"{base}: there is no file that ends in {', '.join(FORMATS)} here; scripts are never "
            "run. Name the folder that holds the rows."
        )
    if exact := [path for path in files if split in _names(path.relative_to(base))]:
        return exact
    numbered = {found[1] for path in files if (found := _NUMBERED.fullmatch(_stem(path)))}
    kinds = {path: _split_of(path.relative_to(base)) for path in files}
    if not numbered and (found_files := [path for path, kind in kinds.items() if kind == split]):
        return found_files
    if split == "train" and not numbered and not any(kinds.values()):
        return files
    others = sorted(numbered) or [path.relative_to(base).as_posix() for path in files]
    raise _no_split(base, split, others)


def _rows_below(folder: Path) -> Iterator[Path]:
    """Yield the files of rows below a folder, hidden ones and descriptions left out."""
    seen = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        seen += len(names)
        if seen > MOST_FILES:
            raise SurroundingsError(
                f"{folder}: more than {MOST_FILES} files are below this folder, the most that is "
                "looked at. Name the folder that holds the rows."
            )
        for name in sorted(names):
            path = Path(place, name)
            if format_of(path) and name not in _DESCRIPTIONS and not name.startswith("."):
                yield _inside(folder, path.relative_to(folder).as_posix())


def _names(path: Path) -> tuple[str, ...]:
    """Return what a file's path may call its split: folders, and the name without numbers."""
    numbered = _NUMBERED.fullmatch(_stem(path))
    return (*path.parts[:-1], numbered[1] if numbered else _stem(path))


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _split_of(path: Path) -> str:
    """Return the split that the words of a path name, the last such word, or an empty string."""
    words = [word for word in re.split(r"[^a-z]+", path.as_posix().casefold()) if word]
    names = {word: split for split, known in _SPLITS.items() for word in known}
    return next((names[word] for word in reversed(words) if word in names), "")


def _inside(folder: Path, name: str) -> Path:
    """Return a file of a folder; refuse one that lies elsewhere.

    A snapshot in the hub's cache is the exception: its files are links into ``blobs`` beside it.
    """
    path, root = folder / name, folder.resolve()
    blobs = [parent.parent / "blobs" for parent in root.parents if parent.name == "snapshots"]
    real = path.resolve()
    if not any(real.is_relative_to(allowed) for allowed in (root, *blobs)):
        raise _outside(folder, name)
    return path


def _described(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(MOST_DESCRIBED))
    except (OSError, ValueError, RecursionError) as error:
        raise _bad(path, f"not valid JSON ({error})") from error
    if not isinstance(found, dict):
        raise _bad(path, f"found {type(found).__name__}; a JSON object is needed")
    return found


def _front_matter(readme: Path) -> Mapping[str, Any]:
    """Return what stands between the first two lines of three dashes."""
    try:
        with open(readme, "rb") as file:
            text = file.read(MOST_DESCRIBED).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise _bad(readme, f"not text in UTF-8 ({error})") from error
    match = re.match(r"---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    try:
        found = yaml.safe_load(match[1]) if match else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = str(error).replace("\n", " ")
        raise _bad(readme, f"its front matter is no valid YAML ({line:.200})") from error
    return found if isinstance(found, Mapping) else {}


def _bad(path: Path, reason: str) -> StageError:
    return StageError(f"{path}: {reason}. Correct the file.", kind="bad_data")


def _outside(folder: Path, name: str) -> StageError:
    reason = f"{name!r:.80} is outside the folder, where no file is read. Copy it into the folder."
    return StageError(f"{folder}: {reason}", kind="bad_data")


def _no_split(folder: Path, split: str, found: list[str]) -> SurroundingsError:
    listed = ", ".join(found[:10]) + (f" and {len(found) - 10} more" if len(found) > 10 else "")
    return SurroundingsError(
        f"{folder}: there is no split {split!r}; found {listed or 'none'}. Set split."
    )
