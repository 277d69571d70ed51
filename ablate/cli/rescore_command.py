"""``ablate rescore``: score stored outputs again, as the suite scores them now, without a model."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ablate.cli.growing import as_grown
from ablate.cli.opening import open_study
from ablate.cli.output import print_json, table
from ablate.cli.stored import open_store
from ablate.errors import SurroundingsError
from ablate.evals.records import SAMPLES, write_lines
from ablate.evals.rescoring import Rescored, rescored
from ablate.evals.suites import load_suite
from ablate.spec.stages import EvaluationConfig
from ablate.store.files import surroundings

SHOWN = 10
"""Differences that are listed of each evaluation."""


def run(args: argparse.Namespace) -> int:
    """Print which scores come out otherwise; with ``--to`` write every output with its new ones."""
    store = open_store(args)
    opened = as_grown(open_study(args.study, args.sets), store)
    found: dict[str, tuple[str, Rescored]] = {}
    for run_ in opened.plan.runs:
        for role, job in run_.jobs.items():
            config = job.config
            if not isinstance(config, EvaluationConfig) or job.fingerprint in found:
                continue
            if store.has(job.stage, job.fingerprint):
                folder = store.artifact(job.stage, job.fingerprint)
                name = f"{run_.cell.name}, seed {run_.seed}"
                name += "" if role == "evaluation" else f", {role}"
                found[job.fingerprint] = name, rescored(folder, load_suite(config))
    if not found:
        raise SurroundingsError(
            f"{store.root}: no finished evaluation of study {opened.plan.study}. Run it first: "
            f"ablate run {args.study}"
        )
    if args.to:
        _write(found, Path(args.to))
    if args.json:
        print_json([_as_json(name, key, result) for key, (name, result) in found.items()])
    else:
        for name, result in found.values():
            print("\n".join(_lines(name, result)))
    return 0


def _write(found: dict[str, tuple[str, Rescored]], target: Path) -> None:
    with surroundings(target):
        for fingerprint, (_, result) in found.items():
            folder = target / fingerprint
            folder.mkdir(parents=True, exist_ok=True)
            write_lines(folder / SAMPLES, result.lines)


def _lines(name: str, result: Rescored) -> Iterator[str]:
    changed = len(result.differences)
    yield f"{name}: {result.compared:,} scores made again, {changed:,} come out otherwise"
    rows = [
        [each.task, each.doc_id, each.score, f"{each.old:g}", f"{each.new:g}"]
        for each in result.differences[:SHOWN]
    ]
    if rows:
        yield table(["task", "document", "score", "was", "is"], rows)
    if changed > SHOWN:
        yield f"… and {changed - SHOWN:,} more; --json lists all"
    for reason, count in result.kept.items():
        yield f"  kept {count:,} of {reason}"


def _as_json(name: str, fingerprint: str, result: Rescored) -> dict[str, object]:
    by_score = Counter(f"{each.task}/{each.score}" for each in result.differences)
    return {
        "evaluation": name,
        "artifact": fingerprint,
        "compared": result.compared,
        "changed": dict(by_score),
        "differences": [vars(each) for each in result.differences],
        "kept": dict(result.kept),
    }
