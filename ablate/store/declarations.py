"""What a study declared of its analysis, and how many results existed by then."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

DECLARED = "declared.jsonl"
"""File of a study's folder; lines are only ever added."""


@dataclass(frozen=True)
class Declaration:
    """One state of a study's ``analysis:``."""

    analysis: Mapping[str, Any]
    results: int
    """Evaluations of the study that existed when it was written down."""
    of: int
    """Evaluations that the study has."""


def declare(folder: Path, analysis: Mapping[str, Any], *, results: int, of: int) -> None:
    """Write an analysis down where it differs from what was declared last."""
    before = declarations(folder)
    # As it reads back: tuples are lists there.
    known = json.loads(json.dumps(analysis))
    if before and before[-1].analysis == known:
        return
    line = json.dumps({"analysis": known, "results": results, "of": of}, sort_keys=True)
    with open(folder / DECLARED, "a+b") as file:
        # A line that a crash tore is closed off, or it would take this one with it.
        if file.tell() and _last_byte(file) != b"\n":
            line = f"\n{line}"
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def _last_byte(file: IO[bytes]) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def declarations(folder: Path) -> list[Declaration]:
    """Return what was declared, in order; a line that cannot be read is passed over."""
    found = []
    try:
        lines = (folder / DECLARED).read_bytes().split(b"\n")
    except OSError:
        return []
    for line in lines:
        try:
            row = json.loads(line)
            found.append(Declaration(dict(row["analysis"]), int(row["results"]), int(row["of"])))
        except (ValueError, KeyError, TypeError):
            continue
    return found


def amendments(folder: Path, analysis: Mapping[str, Any], *, results: int = 0) -> tuple[str, ...]:
    """Return what of an analysis was not declared before the study had results, in sentences.

    Measured against the last declaration without results, or else against the first. Where nothing
    was ever written down, ``results`` of the study are there without a word of what they were to
    test. A field that an earlier version did not have is no amendment.
    """
    before = declarations(folder)
    if not before:
        return ("no run of this study wrote its analysis down",) if results else ()
    blind = [one for one in before if one.results == 0]
    held = (blind or before[:1])[-1]
    now = json.loads(json.dumps(analysis))
    said = [
        f"analysis.{name} was {_shown(held.analysis[name])} when declared, now {_shown(value)}"
        for name, value in now.items()
        if name in held.analysis and held.analysis[name] != value
    ]
    if not blind:
        said.append(f"first declared when {held.results} of {held.of} results already existed")
    return tuple(said)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
