"""``ablate adopt``: take a checkpoint that exists as the result of a job of a study."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ablate.cli.opening import OpenStudy, open_study
from ablate.cli.output import print_json, size
from ablate.cli.stored import open_store
from ablate.errors import StudyError, SurroundingsError, nearest
from ablate.plan.build import Run
from ablate.plan.job import Job, with_upstream
from ablate.spec.content import hash_model_folder
from ablate.spec.policies import PolicyConfig
from ablate.store.adopting import adopt
from ablate.store.layout import Store

STAGES = ("sft", "policy")
"""Stages that leave nothing but a language model."""


def run(args: argparse.Namespace) -> int:
    """Check that the checkpoint fits, and commit it with a record of where it is from."""
    if args.stage == "reward_model":
        raise StudyError(
            "--stage: a reward model's artifact also holds its scale, which is measured when it is "
            "trained. Name the folder in the study instead, as what scores: policy.reward."
        )
    if args.stage not in STAGES:
        found = f"--stage: {args.stage!r} is not one of {', '.join(STAGES)}."
        raise StudyError(f"{found}{nearest(args.stage, STAGES)}")
    opened, store = open_study(args.study, args.sets), open_store(args)
    job = _job(_run_of(opened, args.cell, args.seed), args.stage, args.cell)
    base = _base(store, job)
    source = Path(args.path).expanduser().absolute()
    try:
        digest = hash_model_folder(source)
    except (OSError, ValueError) as error:
        raise SurroundingsError(f"adopt: {str(source)!r}: {error}. Correct the path.") from None
    origin = {"path": str(source), "sha256": digest, "note": args.note}

    def write(work: Path) -> None:
        # Imported here: torch takes seconds, which a mistake in the arguments need not wait for.
        from ablate.models.adopting import adopt_model

        adopt_model(source, work / "model", base=base)

    manifest = adopt(store, job, write, study=opened.plan.study, origin=origin)
    total = sum(entry.size for entry in manifest.files.values())
    document: dict[str, Any] = {
        "stage": job.stage,
        "fingerprint": job.fingerprint,
        "cell": args.cell,
        "bytes": total,
        "adopted": manifest.adopted,
    }
    if args.json:
        print_json(document)
    else:
        print(f"adopted: {job.stage}-{job.fingerprint} ({size(total)}) from {source}")
        print(f"sha256 of its files: {digest}")
    return 0


def _run_of(opened: OpenStudy, cell: str, seed: int | None) -> Run:
    runs = [run for run in opened.plan.runs if run.cell.name == cell]
    if not runs:
        names = sorted({run.cell.name for run in opened.plan.runs})
        listed = ", ".join(map(repr, names))
        raise StudyError(f"--cell: {cell!r} is no cell; cells: {listed}.{nearest(cell, names)}")
    if seed is None:
        return runs[0]
    chosen = [run for run in runs if run.seed == seed]
    if not chosen:
        seeds = ", ".join(str(run.seed) for run in runs)
        raise StudyError(f"--seed {seed}: cell {cell!r} has the seeds {seeds}.")
    return chosen[0]


def _job(run: Run, stage: str, cell: str) -> Job:
    found = [job for job in with_upstream(run.jobs.values()) if job.stage == stage]
    if len(found) != 1:
        raise StudyError(
            f"--stage: cell {cell!r} has {len(found)} jobs of stage {stage}; one is needed. Choose "
            "a cell with one."
        )
    job = found[0]
    if isinstance(job.config, PolicyConfig) and job.config.__dict__.get("checkpoints"):
        raise StudyError(
            f"--stage: the policy of cell {cell!r} also keeps {job.config.__dict__['checkpoints']} "
            "checkpoints on the way, which a finished one has no more. Set policy.checkpoints: 0."
        )
    return job


def _base(store: Store, job: Job) -> Path:
    """Return the model that a checkpoint is held against."""
    model = job.model
    if model is None or not store.has(model.stage, model.fingerprint):
        name = f"{model.stage}-{model.fingerprint}" if model is not None else "its base model"
        raise SurroundingsError(
            f"adopt: {name} is not in the store yet, and a checkpoint is held against it. Run the "
            "study until it is there (ablate run FILE, stop with Ctrl-C), then adopt."
        )
    return store.artifact(model.stage, model.fingerprint) / "model"
