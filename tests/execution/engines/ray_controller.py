"""A controller on Ray; ``python ray_controller.py <address> <store> <gate>`` runs a waiting job."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate.execution.controller import run_study
from ablate.execution.engines.ray_engine import RayEngine, RayOptions
from ablate.execution.options import Outcome, RunOptions
from ablate.plan.job import Job
from ablate.spec.stages import EmbeddedModelConfig, SftConfig
from ablate.store.layout import Store
from ablate.testing.engines import pairs
from ablate.testing.stages import ENTRY_POINTS

OPTIONS = RunOptions(entry_points=ENTRY_POINTS, beat_seconds=0.1, handle_signals=False)


BASE = Job(
    "model",
    EmbeddedModelConfig(
        hidden_size=16, layers=2, heads=2, intermediate_size=16, examples=64, batch_size=8
    ),
)
TRAINING = Job(
    "sft",
    SftConfig(
        dataset="tiny-demonstrations", examples=24, batch_size=8, micro_batch_size=2,
        learning_rate=1e-3, max_length=64, checkpoint_every_steps=2,
    ),
    (("model", BASE),),
)  # fmt: skip
"""A model, and a training of it."""


def contents(store: Store) -> dict[str, str]:
    """Return the hash of every artifact file but the manifests."""
    root = store.root / "artifacts"
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def run_on_ray(options: RayOptions, store: Store, jobs: Sequence[Job], **changes: Any) -> Outcome:
    """Run jobs to their end on a Ray engine of their own."""
    engine = RayEngine(options)
    try:
        run = replace(OPTIONS, engine=engine, **changes)
        return run_study(jobs, store=store, study_name="ray", options=run)
    finally:
        engine.close()


if __name__ == "__main__":
    gate = Path(sys.argv[3])
    run_on_ray(
        RayOptions(address=sys.argv[1]),
        Store(Path(sys.argv[2])),
        [pairs("wait", location=str(gate))],
    )
