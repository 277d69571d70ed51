"""What must hold of a store however its study was disturbed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Contents = Mapping[str, str]
"""SHA-256 of files by their path below ``artifacts``."""


def committed(store: Path) -> set[str]:
    """Return ``stage/fingerprint`` of every artifact with a manifest."""
    found = (store / "artifacts").glob("*/*/manifest.json")
    return {f"{path.parent.parent.name}/{path.parent.name}" for path in found}


def contents(store: Path) -> dict[str, str]:
    """Return the hash of every artifact file but the manifests, which hold times."""
    root = store / "artifacts"
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def differences(expected: Contents, found: Contents) -> Iterator[str]:
    """Yield every file that is missing, too many, or different."""
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            yield f"missing: {name}"
        elif name not in expected:
            yield f"too many: {name}"
        elif found[name] != expected[name]:
            yield f"different: {name}"


def lying_manifests(store: Path) -> Iterator[str]:
    """Yield files whose bytes are not those of their manifest."""
    for path in sorted((store / "artifacts").glob("*/*/manifest.json")):
        for name, entry in json.loads(path.read_bytes())["files"].items():
            file = path.parent / name
            digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "missing"
            if digest != entry["sha256"]:
                yield f"{path.parent.name}/{name}: {digest}, its manifest says {entry['sha256']}"


def second_results(store: Path) -> Iterator[str]:
    """Yield jobs of which two attempts ended well with different bytes."""
    for job in sorted((store / "attempts").iterdir()):
        results = {
            json.dumps(_hashes(record), sort_keys=True)
            for record in map(_exit, sorted(job.glob("*/exit.json")))
            if record.get("status") == "ok"
        }
        if len(results) > 1:
            yield f"{job.name}: {len(results)} different results"


def attempts(store: Path) -> dict[str, int]:
    """Return the number of attempts by fingerprint."""
    jobs = (store / "attempts").iterdir() if (store / "attempts").is_dir() else iter(())
    return {job.name: len(list(job.glob("*/request.json"))) for job in jobs}


def _exit(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _hashes(record: Mapping[str, Any]) -> dict[str, str]:
    return {name: entry["sha256"] for name, entry in record.get("files", {}).items()}
