"""What is known about a committed artifact."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ablate.store.files import read_sealed, sha256_of, tree_places

SCHEMA = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class FileEntry:
    """One file of an artifact."""

    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal digest of the bytes."""


@dataclass(frozen=True)
class Manifest:
    """The record beside an artifact: identity, content, and how it came to be."""

    fingerprint: str
    """Identity of what was computed."""
    stage: str
    """Kind of work."""
    config_class: str
    """Class of the configuration."""
    config: Mapping[str, Any]
    """Every field of the configuration, as run."""
    inputs: Mapping[str, str]
    """Fingerprints of the input artifacts, by role."""
    files: Mapping[str, FileEntry]
    """Every file but the manifest, by path inside the artifact."""
    attempt: int
    """Which attempt made it."""
    engine: str
    """What ran the attempt."""
    study: str
    """The study that ran it first; others share it."""
    code: str
    """Digest of the package's own source."""
    started: float
    """Seconds since the epoch."""
    ended: float
    """Seconds since the epoch."""
    wall_seconds: float
    """Duration of the attempt that finished, without a suspended machine's sleep."""
    numerics: Mapping[str, Any] = field(default_factory=dict)
    """What rounding depends on: machine, versions, threads, dtype, micro-batch."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds by activity, over all attempts."""
    counts: Mapping[str, float] = field(default_factory=dict)
    """Budgets spent."""
    peak_memory_bytes: int | None = None
    """Largest resident size of the process that finished; None where it was not measured."""
    adopted: Mapping[str, Any] | None = None
    """Where an artifact that was not computed here comes from: path, hash, when, by whom; None
    where it was computed."""
    schema: int = SCHEMA
    """Form of this record."""

    def as_json(self) -> dict[str, Any]:
        """Return the record for a JSON file."""
        return asdict(self)


def manifest_from(record: Any) -> Manifest | None:
    """Read a record that `Manifest.as_json` made; None where it is not one of this schema.

    Also None where it names a file outside of the folder that it stands in.
    """
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        return None
    try:
        files = {name: FileEntry(**entry) for name, entry in record["files"].items()}
        if not all(map(is_inside, files)):
            return None
        return Manifest(**{**record, "files": files})
    except (KeyError, TypeError, AttributeError):
        return None


def is_inside(name: str) -> bool:
    """Tell whether a file's name stays in the folder that it is relative to."""
    parts = set(name.split("/")) - {"", "."}
    return bool(parts) and ".." not in parts and not name.startswith("/") and "\0" not in name


def read_manifest(folder: Path | str) -> Manifest | None:
    """Return the manifest in ``folder``; None where it is missing, unreadable or was changed."""
    return manifest_from(read_sealed(os.path.join(folder, MANIFEST)))


def damage(folder: Path | str, files: Mapping[str, FileEntry], *, hashes: bool) -> str | None:
    """Say the first difference between ``folder`` and ``files``; None where there is none.

    Sizes are always compared, contents only with ``hashes``. A manifest in the folder is no
    difference.
    """
    try:
        present = tree_places(folder)
    except ValueError as error:
        return str(error)
    present.pop(MANIFEST, None)
    for name in sorted(present.keys() ^ files.keys()):
        return f"{name}: " + ("missing" if name in files else "not in the manifest")
    for name, entry in files.items():
        size = os.stat(present[name]).st_size
        if size != entry.size:
            return f"{name}: {size} bytes instead of {entry.size}"
        if hashes and sha256_of(present[name], size) != entry.sha256:
            return f"{name}: other content than was written"
    return None
