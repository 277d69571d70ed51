"""``ablate retry``: try failed jobs again, in the study that runs or in a run of their own."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ablate.cli import ctl_command, run_command
from ablate.cli.opening import open_study
from ablate.cli.steered import OVER, jobs_of
from ablate.cli.stored import open_store
from ablate.errors import SurroundingsError
from ablate.execution.failures import Failure, FailureClass, failure_class
from ablate.execution.status import study_names, study_status
from ablate.plan.job import Job


def run(args: argparse.Namespace) -> int:
    """Let the controller try the jobs again, or run the study with all other failures kept."""
    kind = failure_class(args.kind) if args.kind else None
    opened, store = open_study(args.study, args.sets), open_store(args)
    name = opened.plan.study
    if name not in study_names(store):
        raise SurroundingsError(
            f"{store.root}: study {name!r} was never run here, so nothing has failed. Run it: "
            f"ablate run {args.study}"
        )
    if study_status(store, name).state not in OVER:
        words = ["retry", *args.cell]
        asked = {"words": words, "kind": kind and kind.value, "drain": False, "dry_run": False}
        return ctl_command.run(argparse.Namespace(**{**vars(args), **asked, "study": name}))
    chosen = set(jobs_of(store, name).meant(args.cell, with_shared=True).jobs)
    args.keep_failed = _others(kind, chosen if args.cell else None)
    return run_command.run(args)


def _others(kind: FailureClass | None, chosen: set[str] | None) -> Callable[[Job, Failure], bool]:
    """Return what tells failures that stand from those that are tried again."""

    def stands(job: Job, failure: Failure) -> bool:
        named = chosen is None or job.fingerprint in chosen
        return not named or (kind is not None and failure.kind is not kind)

    return stands
