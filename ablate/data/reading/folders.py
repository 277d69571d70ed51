"""Which files of a folder are one split: Arrow folders, and folders laid out as on the hub.

Only files of rows are looked at. A script beside them is never run, and a name that leads out of
the folder is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ablate.data.reading.files import FORMATS, format_of
from ablate.data.reading.hub_readme import bad_folder, configured, described, inside, no_split
from ablate.errors import SurroundingsError

MOST_FILES = 10_000
"""Files of a folder that are looked at; more of them are no data set."""
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
        names = described(folder / "dataset_dict.json").get("splits")
        if not isinstance(names, list) or split not in names:
            raise no_split(folder, split, [str(name) for name in names or ()])
        folder = inside(folder, split)
    if (folder / "state.json").is_file():
        return _arrow_folder(folder)
    found = configured(folder, subset, split)
    return sorted(_by_names(folder, subset, split) if found is None else found)


def _arrow_folder(folder: Path) -> list[Path]:
    """Return the files that a data set saved by the library ``datasets`` names, in its order."""
    listed = described(folder / "state.json").get("_data_files")
    if not isinstance(listed, list) or not all(isinstance(item, Mapping) for item in listed):
        raise bad_folder(folder / "state.json", "'_data_files' is no list of objects")
    return [inside(folder, str(item.get("filename"))) for item in listed]


def _by_names(folder: Path, subset: str | None, split: str) -> list[Path]:
    """Return the files whose names say that they are of a split."""
    base = folder if subset is None else inside(folder, subset)
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
    raise no_split(base, split, others)


def _rows_below(folder: Path) -> Iterator[Path]:
    """Yield the files of rows below a folder, hidden ones and descriptions left out."""
    seen = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n != "__pycache__")
        seen += len(names)
        if seen > MOST_FILES:
            raise SurroundingsError(
                f"{folder}: more than {MOST_FILES} files are below this folder, the most that is "
                "looked at. Name the folder that holds the rows."
            )
        for name in sorted(names):
            path = Path(place, name)
            if format_of(path) and name not in _DESCRIPTIONS and not name.startswith("."):
                yield inside(folder, path.relative_to(folder).as_posix())


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
