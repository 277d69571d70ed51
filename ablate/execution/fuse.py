"""When a study is better stopped: many jobs that die early, alike; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from ablate.execution.failures import Failure, FailureClass
from ablate.plan.job import Job

EARLY_SECONDS = 300.0
"""Long enough for a large model to load, short enough not to have learned anything."""


@dataclass(frozen=True)
class Fall:
    """A job that was given up."""

    job: Job
    failure: Failure
    seconds: float
    """Duration of its last attempt."""


def blown(falls: Iterable[Fall], succeeded: frozenset[str], *, fuse: int) -> str:
    """Return why the study should stop; empty where it should not.

    ``succeeded`` are the stages with a job that did not fail. Equal early failures in ``fuse``
    cells of such a stage are a mistake in the study or the program, and the night is better spent
    asleep. The seeds of one cell count once: an arm that fails with every seed is a result of its
    own. What dies late, or otherwise than its neighbours, stops nothing either.
    """
    seen: dict[tuple[str, str, str], set[str]] = {}
    for fall in falls:
        stage, failure = fall.job.stage, fall.failure
        if stage in succeeded or fall.seconds >= EARLY_SECONDS:
            continue
        if failure.kind is FailureClass.CANCELLED:
            continue
        cells = seen.setdefault((stage, *failure.signature()), set())
        cells.add(cell_of(fall.job))
        if len(cells) >= fuse:
            return (
                f"{stage} jobs of {len(cells)} cells failed early and alike, and none succeeded: "
                f"{failure.message}"
            )
    return ""


def cell_of(job: Job) -> str:
    """Return what a job computes but for seeds, its own and those of what it reads from."""
    config = job.config.model_dump(mode="json", exclude={"seed"})
    inputs = [(role, cell_of(upstream)) for role, upstream in job.inputs]
    text = json.dumps([job.stage, type(job.config).__name__, config, inputs], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
