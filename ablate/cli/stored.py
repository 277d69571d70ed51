"""What is read of a store's studies without their study files.

Apart from what opens a study file, whose checks take most of a second to import.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pydantic import BaseModel, ValidationError

from ablate.errors import SurroundingsError
from ablate.execution.status import study_names
from ablate.store.layout import Store
from ablate.store.reach import RUNS

NEVER_RUN = "no study was run here. Run one: ablate run FILE."


class RecordedJob(BaseModel):
    """What is read of a job in `RUNS`."""

    stage: str
    fingerprint: str
    kind: str
    size: float
    model: str
    inputs: dict[str, str] = {}


class RecordedRun(BaseModel):
    """What is read of a run in `RUNS`."""

    cell: str
    arm: str | None = None
    """Of a trial: the cell that it tunes."""
    seed: int = 0
    jobs: dict[str, str]


class Recorded(BaseModel):
    """What `ablate run` wrote about a study."""

    jobs: list[RecordedJob]
    runs: list[RecordedRun]
    cells: list[str] = []
    """Also those that have no run yet."""


def open_store(args: argparse.Namespace) -> Store:
    """Return the store that the command line or the environment names."""
    return Store(Path(args.store or os.environ.get("ABLATE_STORE") or ".ablate"))


def study_name(store: Store, given: str | None) -> str:
    """Return the name of a stored study from a name, a study file, or the only one there is."""
    names = study_names(store)
    if given is None:
        if len(names) == 1:
            return names[0]
        if not names:
            raise SurroundingsError(f"{store.root}: {NEVER_RUN}")
        raise SurroundingsError(f"{store.root}: it holds {', '.join(names)}. Name one study.")
    if given in names:
        return given
    if Path(given).is_file():
        from ablate.spec.load import load_study

        name = load_study(Path(given), ()).study.study
        if name in names:
            return name
        given = name
    known = ", ".join(names) or "none"
    raise SurroundingsError(
        f"{store.root}: no study {given!r}; stored studies: {known}. Run it first: ablate run FILE."
    )


def recorded(store: Store, study: str) -> Recorded:
    """Return the runs and jobs of a study's last run; none where the file is gone or damaged."""
    try:
        return Recorded.model_validate_json((store.study(study) / RUNS).read_bytes())
    except (OSError, ValidationError):
        return Recorded(jobs=[], runs=[])
