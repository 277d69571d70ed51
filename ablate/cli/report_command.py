"""``ablate report``: render what the store has of a study, complete or not."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ablate.cli.growing import as_grown
from ablate.cli.opening import OpenStudy, cached_jobs, history, open_study
from ablate.cli.output import duration, print_json
from ablate.cli.stored import open_store
from ablate.cli.trackers import trackers_of_rest
from ablate.cli.tracking import send_rest
from ablate.errors import SurroundingsError
from ablate.plan.build import Plan
from ablate.plan.estimate import Estimator
from ablate.plan.summary import summarize
from ablate.reporting.browser.sidecar import write_samples
from ablate.reporting.collect import study_record
from ablate.reporting.figures.style import SCREEN
from ablate.reporting.opened import reasons_of
from ablate.reporting.report import ReportFiles, build_report
from ablate.store.layout import Store
from ablate.store.reach import pin


def run(args: argparse.Namespace) -> int:
    """Render the report; send to the trackers what an earlier run could not."""
    opened = open_study(args.study, args.sets)
    store = open_store(args)
    if not cached_jobs(store, as_grown(opened, store).plan):
        raise SurroundingsError(
            f"{store.root}: no finished job of study {opened.plan.study}; a report needs at least "
            f"one. Run it first: ablate run {args.study}"
        )
    tracked = trackers_of_rest(args, store.root, opened.plan.study)
    files = render(opened, store, args.reports, style=args.style, samples=args.samples)
    send_rest(store.root, opened.plan.study, tracked)
    if args.json:
        print_json({"report": str(files.html), "folder": str(files.html.parent)})
    else:
        print(f"report: {files.html}")
    return 0


def render(
    opened: OpenStudy, store: Store, reports: str, *, style: str = SCREEN, samples: bool = False
) -> ReportFiles:
    """Write the report of a study as the store has it now, with ``samples`` every output too."""
    reasons = reasons_of(store, opened.plan.study)
    plan = as_grown(opened, store, reasons).plan
    record = study_record(
        opened.loaded,
        plan,
        store,
        reasons=reasons,
        plan_summary=_plan_lines(plan, store),
    )
    out = Path(reports) / opened.plan.study
    if samples:
        write_samples(record, out)
    files = build_report(record, out, style=style)
    pin(store, files.html, (job.fingerprint for job in plan.jobs))
    return files


def _plan_lines(plan: Plan, store: Store) -> dict[str, object]:
    summary = summarize(plan, Estimator(history(store)), cached=(), slots=os.cpu_count() or 1)
    shared = summary.one_at_a_time_jobs - len(plan.jobs)
    saved = summary.one_at_a_time_seconds - summary.unique_seconds
    return {
        "design": f"{summary.cells} cells, {summary.seeds} seeds, {summary.runs} runs",
        "jobs": f"{len(plan.jobs)} unique of {summary.one_at_a_time_jobs}; sharing saves {shared}",
        "compute": f"{duration(summary.unique_seconds)} of work, {duration(saved)} saved by "
        "sharing",
    }
