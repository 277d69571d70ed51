"""``ablate status``: how far a study is, and where its time went."""

from __future__ import annotations

import argparse
import time
from typing import Any

from ablate.cli.output import bold, duration, print_json, table
from ablate.cli.stored import NEVER_RUN, open_store, recorded, study_name
from ablate.cli.view import settings_line
from ablate.errors import SurroundingsError
from ablate.execution.runlog import run_log
from ablate.execution.status import (
    StageTimings,
    StudyStatus,
    stage_timings,
    study_names,
    study_status,
)
from ablate.store.layout import Store
from ablate.store.reach import folders


def run(args: argparse.Namespace) -> int:
    """Print one study's status or timings; all studies without a name."""
    store = open_store(args)
    names = study_names(store) if args.study is None else [study_name(store, args.study)]
    if not names:
        raise SurroundingsError(f"{store.root}: {NEVER_RUN}")
    if args.json:
        print_json([_document(store, name, timings=args.timings) for name in names])
        return 0
    for index, name in enumerate(names):
        if index:
            print()
        _print_status(study_status(store, name), _runs_done(store, name))
        _print_log(store, name)
        if args.timings:
            print()
            _print_timings(stage_timings(store, name))
    return 0


def _document(store: Store, name: str, *, timings: bool) -> dict[str, Any]:
    done, total = _runs_done(store, name)
    document: dict[str, Any] = {
        "status": study_status(store, name),
        "runs": {"done": done, "total": total},
        "detached": _detached(store, name),
    }
    if timings:
        document["timings"] = stage_timings(store, name)
    return document


def _detached(store: Store, name: str) -> dict[str, Any] | None:
    log = run_log(store, name)
    if log is None:
        return None
    return {"log": log.path, "launch": log.launch, "done": log.done, "crashed": log.crashed()}


def _runs_done(store: Store, name: str) -> tuple[int, int]:
    """Return how many runs have all their artifacts, and how many there are.

    What is committed counts as there; looking into 10,000 artifacts would take seconds, and
    whoever uses one looks.
    """
    plan = recorded(store, name)
    done = {path.name for place in ("artifacts", "pruned") for path in folders(store.root / place)}
    return sum(set(run.jobs.values()) <= done for run in plan.runs), len(plan.runs)


def _print_status(status: StudyStatus, runs: tuple[int, int]) -> None:
    print(bold(f"study {status.study}: {status.state}"))
    if status.reason:
        print(status.reason)
    ago = duration(max(0.0, time.time() - status.updated))
    word = f"last word {ago} ago" if status.updated else "no word from it"
    print(f"{runs[0]} of {runs[1]} runs complete; {word}")
    if settings := settings_line(status):
        print(settings)
    if status.state == "interrupted":
        print("its controller died without a last word; the same `ablate run` goes on from here")
    print()
    header = ["stage", "waiting", "running", "cached", "done", "failed", "skipped"]
    rows = [[getattr(row, name) for name in header] for row in status.stages]
    print(table(header, rows))
    for job in status.running:
        share = f", step {job.done} of {job.total}" if job.total else ""
        hung = ", no sign of life" if job.hung else ""
        hung += ", stopping" if job.stopping else ""
        spent = duration(job.seconds)
        print(f"running: {job.stage}-{job.fingerprint} attempt {job.attempt}, {spent}{share}{hung}")
    for failed in status.failed:
        print(f"failed: {failed.stage}-{failed.fingerprint}: {failed.kind}: {failed.message}")
        print(f"        ablate logs {failed.fingerprint}")


def _print_log(store: Store, name: str) -> None:
    """Say where a detached run writes, and how it ended."""
    log = run_log(store, name)
    if log is None:
        return
    if log.done is not None:
        why = f" ({log.done['error']})" if log.done.get("error") else ""
        print(f"detached: ended with exit code {log.done.get('exit_code')}{why}; log: {log.path}")
    elif log.crashed():
        print(f"detached: crashed, without a done record; log: {log.path}")
    else:
        print(f"detached: process {log.launch.get('pid')} runs; log: {log.path}")


def _print_timings(rows: list[StageTimings]) -> None:
    names = ["rollout", "scoring", "update"]
    others = sorted({name for row in rows for name in row.other})
    header = ["stage", "jobs", "wall s", *names, *others, "unnamed"]
    print(table(header, [_timing_row(row, others) for row in rows]))
    total = sum(row.wall_seconds for row in rows)
    print(f"\n{duration(total)} of work in {sum(row.jobs for row in rows)} jobs")


def _timing_row(row: StageTimings, others: list[str]) -> list[object]:
    named = [row.rollout_seconds, row.scoring_seconds, row.update_seconds]
    rest = [row.other.get(name, 0.0) for name in others]
    unnamed = row.wall_seconds - sum(named) - sum(rest)
    shown = [f"{value:.1f}" if value else None for value in [*named, *rest]]
    return [row.stage, row.jobs, f"{row.wall_seconds:.1f}", *shown, f"{max(0.0, unnamed):.1f}"]
