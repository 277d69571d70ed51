"""A study of toy stages; ``python toy_study.py <store> <name>`` runs it as a controller."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate.errors import SurroundingsError
from ablate.execution.controller import run_study
from ablate.execution.engines.local import LocalOptions
from ablate.execution.listener import Listener
from ablate.execution.options import Outcome, RunOptions
from ablate.plan.job import Job
from ablate.spec.stages import EvaluationConfig, PreferencesConfig, SftConfig
from ablate.store.layout import Store

ENTRY_POINTS = {stage: f"toy_stages:{stage}" for stage in ("preferences", "sft", "evaluation")}
LOCAL = LocalOptions(
    slots=2,
    devices=(),
    preload=("ablate.execution.worker", "toy_stages"),
    python_path=(str(Path(__file__).parent),),
)
OPTIONS = RunOptions(local=LOCAL, entry_points=ENTRY_POINTS, beat_seconds=0.1)


def pairs(dataset: str = "plain", **fields: Any) -> Job:
    """Return a job of one stage that does what the data set's name says."""
    return Job("preferences", PreferencesConfig(dataset=dataset, **fields))


def training(dataset: str = "plain", upstream: Job | None = None, **fields: Any) -> Job:
    """Return a job that takes many steps and checkpoints."""
    inputs = (("model", upstream),) if upstream is not None else ()
    return Job("sft", SftConfig(dataset=dataset, **fields), inputs)


def evaluation(policy: Job, **fields: Any) -> Job:
    """Return a job that depends on every byte of ``policy``."""
    return Job("evaluation", EvaluationConfig(**fields), (("policy", policy),))


def study(seeds: int = 3) -> list[Job]:
    """Return a study with a shared root: 1 + 3 x seeds jobs on two paths."""
    root = pairs()
    return [
        evaluation(training(name, root, seed=seed), seed=seed)
        for seed in range(seeds)
        for name in ("first", "second")
    ]


def run(
    store: Store,
    jobs: Sequence[Job],
    *,
    name: str = "toy",
    options: RunOptions = OPTIONS,
    listener: Listener | None = None,
) -> Outcome:
    """Run jobs of toy stages."""
    return run_study(jobs, store=store, study_name=name, options=options, listener=listener)


def spawned(options: RunOptions = OPTIONS) -> RunOptions:
    """Return options that start a fresh interpreter per job."""
    return replace(options, local=replace(options.local, style="spawn"))


def contents(store: Store) -> dict[str, str]:
    """Return the hash of every artifact file but the manifests."""
    root = store.root / "artifacts"
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def main() -> int:
    """Run the study as a controller of its own; 0 if complete, 2 if refused."""
    try:
        outcome = run(Store(sys.argv[1]), study(), name=sys.argv[2])
    except SurroundingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0 if outcome.complete else 1


if __name__ == "__main__":
    raise SystemExit(main())
