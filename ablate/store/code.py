"""The digest of the package's own source, recorded beside artifacts so that drift is visible."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import ablate


@cache
def code_digest() -> str:
    """Return 16 hexadecimal digits over every file of the installed package."""
    root = Path(ablate.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
