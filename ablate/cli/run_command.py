"""``ablate run``: run a study to its end; the same command resumes it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from ablate.cli.codes import INTERRUPTED
from ablate.cli.detach import Session, detach
from ablate.cli.growing import (
    Growing,
    as_grown,
    foretell,
    fuse_of,
    growing_of,
    standing_trials,
    whole,
)
from ablate.cli.needs import check_needs
from ablate.cli.opening import OpenStudy, history, open_study
from ablate.cli.output import counted, duration, print_json
from ablate.cli.progress import Progress
from ablate.cli.stored import open_store
from ablate.cli.trackers import trackers
from ablate.cli.tracking import Tracking
from ablate.cli.where import Where, cell_levels, refuse_too_large, where
from ablate.execution.book import JobState
from ablate.execution.choosing import CompleteRuns
from ablate.execution.controller import run_study
from ablate.execution.engines.local import LocalOptions
from ablate.execution.engines.opening import open_remote
from ablate.execution.failures import Failure
from ablate.execution.listener import Guarded
from ablate.execution.options import Outcome, RunOptions
from ablate.plan.baseline import baseline_cells
from ablate.plan.build import Plan, Run
from ablate.plan.estimate import Estimator
from ablate.plan.evaluating import defines_tasks
from ablate.plan.fitting import job_levels, whole_order
from ablate.plan.job import Job
from ablate.plan.record import RUNS, plan_document
from ablate.store.declarations import declare
from ablate.store.files import surroundings, write_json
from ablate.store.layout import Store
from ablate.store.privacy import private

FAILED_JOBS = 4


def run(args: argparse.Namespace) -> int:
    """Run what is missing, render the report, and say how it ended; or let that be done."""
    if args.detach and (code := detach(args)) is not None:
        return code
    session = Session(args)
    return session.run(lambda: _run_whole(args, session))


def _run_whole(args: argparse.Namespace, session: Session) -> int:
    opened = open_study(args.study, args.sets)
    store, place = open_store(args), where(args)
    trackers(args)  # Looked for before anything trains.
    expected = whole(opened, store).plan.jobs
    if not args.any_size:
        refuse_too_large(place, expected)
    evaluations = [job for job in expected if defines_tasks(job)]
    check_needs([e for e in evaluations if not store.has(e.stage, e.fingerprint)], args)
    store.create()
    with private():  # The tracking process inherits it; the report below is for others.
        outcome, pending = _run(opened, store, args, place=place, session=session)
    if not args.json:  # Before the report, which may fail: what happened is said in any case.
        _print_outcome(outcome)
    lacking = dict(pending) if outcome.complete else {}
    for cell, reason in lacking.items():
        print(f"no results of {cell!r}: {reason}", file=sys.stderr)
    complete = outcome.complete and not lacking
    document = {
        "study": opened.plan.study,
        "complete": complete,
        "without_results": lacking,
        "stopped": outcome.stopped,
        "jobs": {state.value: outcome.count(state) for state in JobState},
        "failures": {key: asdict(failure) for key, failure in outcome.failures.items()},
        "seconds": outcome.seconds,
    }
    session.outcome(document)
    report = None if args.no_report else _report(opened, store, args.reports)
    document["report"] = report
    if args.json:
        print_json(document)
    elif report:
        print(f"report: {report}")
    if complete:
        return 0
    return FAILED_JOBS if outcome.failures or lacking else INTERRUPTED


def _declare(opened: OpenStudy, store: Store, folder: Path) -> None:
    """Write down what is to be tested, and how many results there were to look at by then."""
    jobs = [job for job in opened.plan.jobs if job.stage == "evaluation"]
    done = sum(store.has(job.stage, job.fingerprint) for job in jobs)
    declare(folder, opened.loaded.study.declared, results=done, of=len(jobs))


def _record(plan: Plan, folder: Path, args: argparse.Namespace) -> None:
    """Write down runs and jobs, and what the study's file needs to be read again."""
    source = {"folder": str(Path(args.study).absolute().parent), "sets": args.sets}
    write_json(folder / RUNS, {**plan_document(plan), **source})


def _report(opened: OpenStudy, store: Store, reports: str) -> str | None:
    # Imported here: matplotlib and pandas take seconds that the jobs should not wait for.
    from ablate.cli.report_command import render

    jobs = as_grown(opened, store).plan.jobs
    if not any(store.has(job.stage, job.fingerprint) for job in jobs):
        return None
    return str(render(opened, store, reports).html)


def _run(
    opened: OpenStudy, store: Store, args: argparse.Namespace, *, place: Where, session: Session
) -> tuple[Outcome, Mapping[str, str]]:
    """Run the jobs; also say why cells that were to be tuned have no runs."""
    slots, estimator = place.slots(opened.plan.jobs), Estimator(history(store))
    progress = Progress(opened.plan, estimator, slots=slots, stream=sys.stderr)
    hook = session.listener(opened.plan, store)
    tracking = Tracking(opened.plan, store.root, trackers(args))
    levels = cell_levels(args.priority, baseline_cells(opened.loaded.study, opened.plan.cells))
    priorities = job_levels(opened.plan, levels)
    wanted = CompleteRuns(_in_order(opened.plan, opened, levels), estimator, devices=place.devices)
    folder = store.study(opened.plan.study)

    def write_down(plan: Plan, coming: Plan) -> None:
        progress.extend(coming)
        with surroundings(folder):
            _record(plan, folder, args)
            foretell(store, plan, coming, estimator, slots=slots)

    def begin() -> None:
        write_down((known := as_grown(opened, store)).plan, known.plan)
        _declare(known, store, folder)

    def grew(plan: Plan) -> None:
        write_down(plan, growing.expected() if growing else plan)
        tracking.extend(plan)
        session.extend(plan)
        wanted.runs = _in_order(plan, opened, levels)
        priorities.update(job_levels(plan, levels))

    growing = growing_of(opened, store, grew)
    engine = open_remote(place.place, folder, slots=args.slots, network=args.network)
    options = RunOptions(
        engine=engine,
        local=_local(place, slots, network=args.network),
        study_text=opened.loaded.source.text,
        resources=place.resources,
        grow=growing,
        wanted=wanted,
        fuse=fuse_of(opened),
        until=place.until,
        budget_seconds=place.budget_seconds,
        priorities=priorities,
        keep_failed=_keeps(args, growing),
        wishes=session.wishes,
        while_held=lambda: session.held(store, opened.plan.study, begin),
    )
    try:
        outcome = run_study(
            opened.plan.jobs,
            store=store,
            study_name=opened.plan.study,
            options=options,
            listener=Guarded(progress, hook, *tracking.listeners),
        )
        return outcome, growing.plan.pending if growing else {}
    finally:
        progress.close()
        tracking.close()
        if engine is not None:
            engine.close()


def _keeps(
    args: argparse.Namespace, growing: Growing | None
) -> Callable[[Job, Failure], bool] | None:
    """Return which failures of earlier runs stand: those `ablate retry` is not about."""
    given: Callable[[Job, Failure], bool] | None = getattr(args, "keep_failed", None)
    return given if given is not None or growing is None else standing_trials(growing)


def _local(place: Where, slots: int, *, network: bool) -> LocalOptions:
    threads, sharing = place.place.threads, place.place.slots_per_device
    most = place.asked_slots
    return LocalOptions(
        slots=slots, most=most, threads=threads, slots_per_device=sharing, network=network
    )


def _in_order(plan: Plan, opened: OpenStudy, levels: Mapping[str, int]) -> list[Run]:
    """Return runs in the order in which a deadline takes them."""
    return whole_order(plan, baseline_cells(opened.loaded.study, plan.cells), levels=levels)


def _print_outcome(outcome: Outcome) -> None:
    done, cached = outcome.count(JobState.DONE), outcome.count(JobState.CACHED)
    failed, skipped = outcome.count(JobState.FAILED), outcome.count(JobState.SKIPPED)
    text = f"{counted(done, 'job')} run, {cached} cached"
    if failed or skipped:
        text += f", {failed} failed, {skipped} skipped"
    print(f"{text} in {duration(outcome.seconds)}")
    if outcome.stopped:
        print(f"stopped: {outcome.stopped}. The same command goes on from here.")
    for key, failure in outcome.failures.items():
        message = failure.message.removesuffix(".")
        print(f"failed: {key}: {failure.kind}: {message}. See: ablate logs {key}")
