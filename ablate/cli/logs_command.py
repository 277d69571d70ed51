"""``ablate logs``: what a job wrote, by cell or by fingerprint."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ablate.cli.opening import RUNS, open_store, study_name
from ablate.cli.output import print_json
from ablate.errors import SurroundingsError, nearest
from ablate.execution.status import JobLog, job_logs
from ablate.store.layout import Store


def run(args: argparse.Namespace) -> int:
    """Print the log of the last attempt of a job, or of the attempt that is named."""
    store = open_store(args)
    name = study_name(store, args.study)
    wanted, _, attempt = args.job.rpartition("@") if "@" in args.job else (args.job, "", "")
    if attempt and not attempt.isdigit():
        raise SurroundingsError(f"{args.job!r}: {attempt!r} is no attempt; write @1, @2, ...")
    logs = [
        log
        for key in _fingerprints(store, name, wanted)
        for log in job_logs(store, name, key)
        if not attempt or log.attempt == int(attempt)
    ]
    last = {log.fingerprint: log for log in logs}
    if not last:
        raise SurroundingsError(
            f"{args.job!r}: no such attempt in study {name}; the job was cached or has not "
            "started. See: ablate status"
        )
    if args.json:
        print_json(
            [{**vars(log), "log": str(log.log), "text": _text(log)} for log in last.values()]
        )
        return 0
    for log in last.values():
        print(f"== {log.stage}-{log.fingerprint} attempt {log.attempt}: {log.state}")
        print(_text(log).rstrip())
    return 0


def _text(log: JobLog) -> str:
    try:
        return log.log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _fingerprints(store: Store, study: str, wanted: str) -> list[str]:
    """Return the jobs meant by ``CELL``, ``CELL/STAGE`` or the start of a fingerprint."""
    cell_jobs = _cells(store, study)
    for cell in sorted(cell_jobs, key=len, reverse=True):
        if wanted == cell:
            return list(cell_jobs[cell].get("policy") or cell_jobs[cell]["evaluation"])
        if wanted.startswith(f"{cell}/"):
            stage = wanted[len(cell) + 1 :]
            if stage in cell_jobs[cell]:
                return list(cell_jobs[cell][stage])
            known = ", ".join(sorted(cell_jobs[cell]))
            hint = nearest(stage, cell_jobs[cell])
            raise SurroundingsError(f"{wanted!r}: cell {cell!r} has the stages {known}.{hint}")
    try:
        return [log.fingerprint for log in job_logs(store, study, wanted)] or [wanted]
    except SurroundingsError:
        known = ", ".join(repr(cell) for cell in cell_jobs)
        hint = nearest(wanted, cell_jobs)
        raise SurroundingsError(
            f"{wanted!r} is no cell or job of study {study}; cells: {known}.{hint}"
        ) from None


def _cells(store: Store, study: str) -> dict[str, dict[str, dict[str, None]]]:
    """Return fingerprints by cell and role, over all seeds, each once."""
    try:
        plan: dict[str, Any] = json.loads((store.study(study) / RUNS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    cells: dict[str, dict[str, dict[str, None]]] = {}
    for run in plan["runs"]:
        roles = cells.setdefault(run["cell"], {})
        for role, fingerprint in run["jobs"].items():
            roles.setdefault(role, {})[fingerprint] = None
    return cells
