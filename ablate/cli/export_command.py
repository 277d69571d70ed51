"""``ablate export``: a cell's policy as a folder in hub layout, with a model card."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from ablate.cli.output import print_json
from ablate.cli.stored import Recorded, open_store, recorded, study_name
from ablate.errors import StudyError, SurroundingsError, nearest
from ablate.reporting.card import Exported, model_card
from ablate.store.files import surroundings, write_atomic
from ablate.store.layout import Store
from ablate.store.manifest import Manifest

MODEL = "model"
"""Folder of an artifact that holds the weights in hub layout."""


def run(args: argparse.Namespace) -> int:
    """Copy the model of a cell's last training stage and write its card beside it."""
    store = open_store(args)
    name = study_name(store, args.study)
    target = Path(args.to)
    _check_target(target, force=args.force)
    exported = _exported(store, name, args)
    record = exported.model
    with surroundings(target):
        target.mkdir(parents=True, exist_ok=True)
        source = store.artifact(record.stage, record.fingerprint) / MODEL
        # Contents alone: others may read what is exported, whatever the store's permissions.
        shutil.copytree(source, target, dirs_exist_ok=True, copy_function=shutil.copyfile)
        write_atomic(target / "README.md", model_card(exported).encode())
    if args.json:
        identity = {"study": name, "cell": exported.cell, "seed": exported.seed}
        print_json({**identity, "artifact": record.fingerprint, "folder": str(target)})
    else:
        print(f"wrote {record.stage}-{record.fingerprint} (seed {exported.seed}) to {target}")
    return 0


def _check_target(target: Path, *, force: bool) -> None:
    if target.exists() and not target.is_dir():
        raise SurroundingsError(f"{target}: a file; a folder is needed. Name another one.")
    with surroundings(target):
        taken = target.is_dir() and any(target.iterdir())
    if taken and not force:
        raise SurroundingsError(
            f"{target}: the folder is not empty; export writes over nothing unasked. Name another "
            "folder, or add --force."
        )


def _exported(store: Store, study: str, args: argparse.Namespace) -> Exported:
    known = recorded(store, study)
    seeds = {run.seed: run.jobs for run in known.runs if run.cell == args.cell}
    if not seeds:
        cells = list(dict.fromkeys(run.cell for run in known.runs))
        listed = ", ".join(repr(cell) for cell in cells)
        raise StudyError(
            f"{args.cell!r} is no cell of study {study}; cells: {listed}."
            f"{nearest(args.cell, cells)}"
        )
    seed = min(seeds) if args.seed is None else args.seed
    if seed not in seeds:
        raise StudyError(
            f"--seed {seed}: cell {args.cell!r} has the seeds {', '.join(map(str, sorted(seeds)))}."
        )
    stages = {job.fingerprint: job.stage for job in known.jobs}
    jobs = seeds[seed]
    evaluation = store.artifact("evaluation", jobs["evaluation"])
    done = store.has("evaluation", jobs["evaluation"], hashes=True)
    lineage = _lineage(store, _model_of(known, jobs, args.cell), stages)
    return Exported(study, args.cell, seed, tuple(lineage), evaluation if done else None)


def _model_of(known: Recorded, jobs: dict[str, str], cell: str) -> str:
    """Return the fingerprint of what a cell evaluates: its policy, or its starting point."""
    for role in ("policy", "sft", "model"):
        if role in jobs:
            return jobs[role]
    raise StudyError(f"{cell!r}: the cell trains nothing, so there is nothing to export.")


def _lineage(store: Store, fingerprint: str, stages: dict[str, str]) -> list[Manifest]:
    """Return the records behind an artifact, inputs first, each once."""
    found: dict[str, Manifest] = {}

    def visit(key: str) -> None:
        if key in found:
            return
        stage = stages.get(key, "policy")
        manifest = store.manifest(stage, key)
        if manifest is None:
            raise SurroundingsError(
                f"{store.root}: {stage}-{key} is not there; it was not run yet, or was removed. "
                "Run the study again: ablate run FILE"
            )
        for upstream in manifest.inputs.values():
            visit(upstream)
        found[key] = manifest

    visit(fingerprint)
    stage = found[fingerprint].stage
    if not store.has(stage, fingerprint, hashes=True):
        raise SurroundingsError(
            f"{store.root}: {stage}-{fingerprint} is damaged. Run the study again: ablate run FILE"
        )
    return list(found.values())
