"""Artifacts whose weights were dropped: what is left of them, and which jobs need them again.

The artifact leaves ``artifacts/`` whole, so whatever asks for it finds none and computes it anew: a
lost cache costs a recompute, never a wrong number. Its manifest and its small files stay in
``pruned/``, for reports, and so that a finished study stays finished.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

from ablate.store.files import surroundings, sync_tree
from ablate.store.manifest import MANIFEST, FileEntry, Manifest, damage, read_manifest
from ablate.store.privacy import make_private
from ablate.store.workspace import KEPT

WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".pth")
"""How the names of weights end."""


def weights_of(manifest: Manifest) -> list[str]:
    """Return the files of an artifact that hold weights, and the checkpoints kept on the way."""
    return [
        name
        for name in manifest.files
        if name.endswith(WEIGHTS) or PurePosixPath(name).parts[0] == KEPT
    ]


def records_of(manifest: Manifest) -> dict[str, FileEntry]:
    """Return the files of an artifact that are kept when its weights are dropped."""
    weights = set(weights_of(manifest))
    return {name: entry for name, entry in manifest.files.items() if name not in weights}


def write_pruned(artifact: Path, target: Path, manifest: Manifest) -> None:
    """Copy everything but the weights of ``artifact`` to ``target``, whole or not at all."""
    partial = target.with_name(f".{target.name}.partial")
    with surroundings(target):
        make_private(target.parent.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        for stale in (partial, target):
            shutil.rmtree(stale, ignore_errors=True)
        partial.mkdir()
        for name in [*records_of(manifest), MANIFEST]:
            place = partial / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(artifact / name, place)
        sync_tree(partial)
        os.rename(partial, target)


def pruned_damage(folder: Path, *, hashes: bool = False) -> str | None:
    """Say what is wrong with what is left of an artifact; None where it is whole."""
    manifest = None if folder.is_symlink() else read_manifest(folder)
    if manifest is None or (manifest.stage, manifest.fingerprint) != (
        folder.parent.name,
        folder.name,
    ):
        return "no readable manifest of its own"
    return damage(folder, records_of(manifest), hashes=hashes)


def unneeded(
    order: Iterable[str],
    inputs: Mapping[str, Collection[str]],
    *,
    there: Collection[str],
    pruned: Collection[str],
) -> set[str]:
    """Return the jobs of ``pruned`` that no job which must still run reads, directly or not.

    ``order`` names every job, inputs first; ``there`` are those with an artifact. A pruned job
    that is read must run again, and so must the pruned ones that it reads itself.
    """
    needed: set[str] = set()
    spare: set[str] = set()
    for name in reversed(list(order)):
        if name in there:
            continue
        if name in pruned and name not in needed:
            spare.add(name)
        else:
            needed.update(inputs[name])
    return spare
