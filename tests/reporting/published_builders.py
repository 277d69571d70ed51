"""Rows of published numbers, as the import of a study file leaves them: no items, no seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate.reporting.records import RunRecord, StudyRecord

from .builders import CATEGORIES, Fake, Size, study_of, write_json, write_manifest

SOURCE = "A paper, Table 2"


def write_published(folder: Path, scores: Sequence[float]) -> None:
    """Write category scores and their unweighted mean, to the last digit."""
    named = dict(zip(CATEGORIES, scores, strict=True))
    average = sum(scores) / len(scores)
    rows = [(name, "category", value) for name, value in named.items()]
    metrics = [
        {
            **{"metric": name, "level": level, "value": value, "n_items": 0},
            **{"direction": "higher", "unit": "percent"},
        }
        for name, level, value in [*rows, ("average", "average", average)]
    ]
    write_manifest(folder, "imported", {}, Fake(folder.name, {}))
    write_json(folder / "scores.json", {"suite": "paper", "source": SOURCE, "metrics": metrics})


def published_run(
    root: Path, cell: str, scores: Sequence[float], levels: Mapping[str, str], *, group: str = ""
) -> RunRecord:
    folder = root / "imported" / "".join(c if c.isalnum() else "-" for c in cell)
    write_published(folder, scores)
    return RunRecord(
        cell=cell,
        levels=levels,
        seed=0,
        run_id=f"{cell}/0",
        parent=None,
        kind="imported",
        status=None,
        artifacts={"evaluation": folder},
        fingerprints={"evaluation": folder.name},
        missing=None,
        group=group,
    )


def published_study(runs: Sequence[RunRecord], root: Path, **changes: Any) -> StudyRecord:
    """Return a study of published rows alone, in their order and without a baseline."""
    cells = tuple(dict.fromkeys(run.cell for run in runs))
    plain = study_of(root / "none", [], Size(), baseline="", cells=cells, design="cells")
    return replace(plain, runs=tuple(runs), **changes)


def duel(root: Path, scores: Mapping[tuple[str, str], Sequence[float]]) -> StudyRecord:
    """Return published rows by data set and algorithm."""
    runs = [
        published_run(root, f"{data}, {way}", row, {"dataset": data, "algorithm": way})
        for (data, way), row in scores.items()
    ]
    return published_study(runs, root)
