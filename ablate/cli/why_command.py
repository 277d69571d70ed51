"""``ablate why``: what made a job's key, where it stands, and everything that was tried."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from ablate.cli.output import bold, duration, print_json
from ablate.cli.steered import jobs_of
from ablate.cli.stored import open_store, recorded, study_name
from ablate.execution.explain import Explained, Explainer, Try

WIDTH = 98
ORDER = ("failed", "running", "waiting", "skipped", "done")
LONGEST_VALUE = 60
"""Characters of a setting's value; the JSON has all of it."""


def run(args: argparse.Namespace) -> int:
    """Explain the jobs that a name means, those of a whole cell in the plan's order."""
    store = open_store(args)
    study = study_name(store, args.study)
    explainer = Explainer(store, study)
    meant = jobs_of(store, study).meant([args.job], with_shared=True)
    jobs = [explainer.explain(name) for name in meant.jobs]
    uses = _uses((run.cell, run.seed, run.jobs.values()) for run in recorded(store, study).runs)
    if args.json:
        print_json([{**asdict(job), "cells": uses.get(job.fingerprint, [])} for job in jobs])
        return 0
    told = [job for job in jobs if args.all or len(jobs) == 1 or _is_worth_telling(job)]
    for job in [job for job in jobs if job not in told]:
        print(f"{job.name}: {job.state}, {job.reason.partition(';')[0]}")
    # What failed comes before what waits for it, and is told even where another cell has it.
    for job in sorted(told, key=lambda job: ORDER.index(job.state)):
        print()
        for line in _lines(job, uses.get(job.fingerprint, []), study=study):
            print(line)
    roots = {name.rpartition("-")[2] for job in told for name in job.roots}
    for name in sorted(roots - set(meant.jobs)):
        print()
        for line in _lines(explainer.explain(name), uses.get(name, []), study=study):
            print(line)
    return 0


def _uses(runs: Iterable[tuple[str, int, Iterable[str]]]) -> dict[str, list[str]]:
    """Return the runs that use a job directly, in words, by fingerprint."""
    found: dict[str, list[str]] = {}
    for cell, seed, jobs in runs:
        for name in dict.fromkeys(jobs):
            found.setdefault(name, []).append(f"{cell!r} seed {seed}")
    return found


def _is_worth_telling(job: Explained) -> bool:
    return job.state != "done" or any(one.outcome != "ok" for one in job.attempts)


def _lines(job: Explained, uses: list[str], *, study: str) -> Iterator[str]:
    yield bold(f"{job.name}: {job.state}")
    yield from _part("", job.reason)
    if uses:
        more = f" and {len(uses) - 3} more" if len(uses) > 3 else ""
        yield from _part("runs", ", ".join(uses[:3]) + more)
    settings = ", ".join(f"{name} {_value(value)}" for name, value in job.settings.items())
    yield from _part("key", f"{job.config_class}: {settings or 'all defaults'}")
    if job.inputs:
        reads = ", ".join(f"{role} {name}" for role, name in job.inputs.items())
        yield from _part("reads", reads)
    for one in job.attempts:
        yield from _attempt(one)
    yield from _advice(job, study)


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _part(title: str, text: str) -> list[str]:
    indent = " " * 12
    first = f"  {title:<10}" if title else "  "
    wrapped = textwrap.wrap(text, WIDTH - len(indent), break_long_words=False) or [""]
    rest = indent if title else "  "
    return [first + wrapped[0], *(rest + line for line in wrapped[1:])]


def _attempt(one: Try) -> Iterator[str]:
    facts = [one.outcome.replace("_", " ")]
    if one.done is not None and one.total:
        facts.append(f"at step {one.done:,} of {one.total:,}")
    if one.seconds is not None:
        facts.append(f"after {duration(one.seconds)}")
    if one.micro_batch is not None:
        facts.append(f"micro-batch {one.micro_batch}")
    facts += ["alone"] * one.alone + ([f"on {one.engine}"] if one.engine else [])
    yield from _part(f"attempt {one.number}", ", ".join(facts))
    if one.message:
        yield from _part(" ", one.message)
    if one.next:
        yield from _part(" ", f"then {one.next}")
    if one.outcome != "ok":
        yield f"{'':12}log {_short(one.log)}"
        if one.metrics is not None:
            yield f"{'':12}metrics {_short(one.metrics)}"


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _advice(job: Explained, study: str) -> list[str]:
    if job.state != "failed":
        return []
    kind = job.attempts[-1].outcome if job.attempts else ""
    named = f" --class {kind}" if kind and kind not in ("ok", "running") else ""
    return _part("again", f"ablate retry FILE{named}, where FILE is the file of study {study}")
