"""``ablate logs``: what a job wrote, by cell or by fingerprint."""

from __future__ import annotations

import argparse

from ablate.cli.output import print_json
from ablate.cli.stored import open_store, recorded, study_name
from ablate.errors import StudyError, SurroundingsError, nearest
from ablate.execution.status import JobLog, job_logs
from ablate.secrets import Masker
from ablate.store.layout import Store

Cells = dict[str, dict[str, dict[str, None]]]
"""Fingerprints by cell and role, over all seeds, each once."""


def run(args: argparse.Namespace) -> int:
    """Print the log of the last attempt of a job, or of the attempt that is named."""
    store = open_store(args)
    name = study_name(store, args.study)
    cells = _cells(store, name)
    wanted, attempt = _parts(args.job, cells)
    logs = [
        log
        for key in _fingerprints(store, name, wanted, cells=cells)
        for log in job_logs(store, name, key)
        if attempt is None or log.attempt == attempt
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


def _parts(job: str, cells: Cells) -> tuple[str, int | None]:
    """Return job and attempt of ``JOB@ATTEMPT``; the name of a cell may itself have an @."""
    named = {*cells, *(f"{cell}/{stage}" for cell in cells for stage in cells[cell])}
    wanted, at, attempt = job.rpartition("@")
    if not at or job in named:
        return job, None
    if attempt.isdecimal():
        return wanted, int(attempt)
    if wanted in named:
        raise StudyError(f"{job!r}: {attempt!r} is no attempt; write @1, @2, ...")
    return job, None


def _text(log: JobLog) -> str:
    """Return a job's log; secrets that another program wrote there are masked."""
    try:
        return Masker().text(log.log.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""


def _fingerprints(store: Store, study: str, wanted: str, *, cells: Cells) -> list[str]:
    """Return the jobs meant by ``CELL``, ``CELL/STAGE`` or the start of a fingerprint."""
    for cell in sorted(cells, key=len, reverse=True):
        if wanted == cell:
            return list(cells[cell].get("policy") or cells[cell]["evaluation"])
        if wanted.startswith(f"{cell}/"):
            stage = wanted[len(cell) + 1 :]
            if stage in cells[cell]:
                return list(cells[cell][stage])
            known = ", ".join(sorted(cells[cell]))
            hint = nearest(stage, cells[cell])
            raise StudyError(f"{wanted!r}: cell {cell!r} has the stages {known}.{hint}")
    try:
        return [log.fingerprint for log in job_logs(store, study, wanted)] or [wanted]
    except SurroundingsError:
        known = ", ".join(repr(cell) for cell in cells)
        hint = nearest(wanted, cells)
        raise StudyError(
            f"{wanted!r} is no cell or job of study {study}; cells: {known}.{hint}"
        ) from None


def _cells(store: Store, study: str) -> Cells:
    cells: Cells = {}
    for run in recorded(store, study).runs:
        roles = cells.setdefault(run.cell, {})
        for role, fingerprint in run.jobs.items():
            roles.setdefault(role, {})[fingerprint] = None
    return cells
