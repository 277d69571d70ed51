"""Which cells ran otherwise than asked after they ran out of memory, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ablate.reporting.records import StudyRecord
from ablate.store.manifest import Manifest


def out_of_memory(study: StudyRecord, manifests: Mapping[str, Manifest]) -> Iterator[str]:
    """Yield a sentence for each stage and size; ``manifests`` are by fingerprint."""
    found: dict[tuple[str, str], dict[str, set[int]]] = {}
    for run in study.runs:
        for fingerprint in dict.fromkeys(run.fingerprints.values()):
            manifest = manifests.get(fingerprint)
            how = _how(manifest) if manifest is not None else ""
            if manifest is not None and how:
                cells = found.setdefault((manifest.stage, how), {})
                cells.setdefault(run.cell, set()).add(run.seed)
    for (stage, how), cells in found.items():
        yield f"{stage} of {_named(cells)} ran out of memory and was then run {how}."


def _how(manifest: Manifest) -> str:
    """Return how a job was run in the end; empty where memory was no matter."""
    asked, alone = manifest.numerics.get("micro_batch_asked"), manifest.numerics.get("alone")
    used = manifest.numerics.get("micro_batch_size") or manifest.config.get("micro_batch_size")
    beside = "with nothing beside it"
    if not asked:
        return f"{beside}, its numbers untouched" if alone else ""
    smaller = f"with micro-batches of {used} instead of {asked}{f', {beside}' if alone else ''}"
    return f"{smaller}: the same updates, equal to rounding"


def _named(cells: Mapping[str, set[int]]) -> str:
    parts = []
    for cell, seeds in cells.items():
        word = "seed" if len(seeds) == 1 else "seeds"
        parts.append(f"{cell!r} ({word} {', '.join(map(str, sorted(seeds)))})")
    return ", ".join(parts)
