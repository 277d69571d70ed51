"""The files of a report as the page offers them: held in it where they are small."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

LARGEST = 60_000
"""Bytes of a file that the page holds at most."""
BUDGET = 450_000
"""Bytes of all files that it holds, as their addresses count them."""
_TYPES = {
    ".csv": "text/csv",
    ".tex": "application/x-tex",
    ".md": "text/markdown",
    ".json": "application/json",
}
"""Endings of files that may be held, with their media types."""
_GROUPS = (
    ("Numbers", ("results", "effects", "provenance", "report")),
    ("Tables", ("tables/",)),
    ("Figures", ("figures/",)),
)


@dataclass(frozen=True)
class Download:
    """One file of the report."""

    name: str
    address: str
    """``data:`` and the whole file, or its place beside the page."""
    size: str

    @property
    def held(self) -> bool:
        """Whether the page itself holds the file."""
        return self.address.startswith("data:")

    @property
    def saved_as(self) -> str:
        """Name of the file without its folder."""
        return PurePosixPath(self.name).name

    @property
    def kind(self) -> str:
        """What the file is, by its ending."""
        ending = PurePosixPath(self.name).suffix.removeprefix(".")
        return {"tex": "TeX", "md": "Markdown"}.get(ending, ending.upper())


@dataclass(frozen=True)
class Entry:
    """One table, figure or set of numbers in all its forms."""

    title: str
    files: tuple[Download, ...]


def downloads_of(contents: Mapping[str, bytes]) -> list[tuple[str, Sequence[Entry]]]:
    """Return the files of a report in groups, those that fit the page held in it.

    ``contents`` is every file by name; smaller ones are held first, so that many are.
    """
    held: dict[str, str] = {}
    room = BUDGET
    for name in sorted(contents, key=lambda name: (len(contents[name]), name)):
        kind = _TYPES.get(PurePosixPath(name).suffix)
        if kind is None or len(contents[name]) > LARGEST:
            continue
        data = base64.b64encode(contents[name]).decode()
        if len(data) <= room:
            held[name] = f"data:{kind};base64,{data}"
            room -= len(data)
    groups: list[tuple[str, Sequence[Entry]]] = []
    for title, starts in _GROUPS:
        entries: dict[str, list[Download]] = {}
        for name, content in contents.items():
            if name.startswith(starts):
                address = held.get(name) or quote(name)
                stem = PurePosixPath(name).stem
                entries.setdefault(stem, []).append(Download(name, address, _size(len(content))))
        if entries:
            groups.append((title, [Entry(stem, tuple(files)) for stem, files in entries.items()]))
    return groups


def _size(count: int) -> str:
    if count < 1_000:
        return f"{count} bytes"
    return f"{count / 1_000:.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
