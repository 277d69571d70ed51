"""What a job sees: its configuration, its inputs, and a folder to write in.

A stage is a function of one `Workspace`. It writes its artifact below ``output`` and nothing else;
the same inputs give the same bytes there, so times go to ``timings`` and never into ``output``.
"""

from __future__ import annotations

import json
import logging
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.spec.config import Config

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
CHECKPOINT_FOLDER = "checkpoint"
"""Where a training command keeps its own checkpoints, below the scratch folder."""
KEPT = "kept"
"""Folder of what a stage keeps on the way, in its scratch folder and then in its artifact."""
METRICS = "metrics.jsonl"


@dataclass
class Workspace:
    """One attempt's view of its job."""

    stage: str
    config: Config
    inputs: Mapping[str, Path]
    """Folder of each input artifact, by role."""
    output: Path
    """Becomes the artifact when the controller commits it."""
    scratch: Path
    """For checkpoints; a later attempt of the job starts with a copy of the last complete one."""
    cache: Path | None = None
    """Folder that all jobs of a store share, for answers found by content; it may be emptied at
    any time. None where there is no store."""
    fingerprint: str = ""
    report: Callable[[Mapping[str, Any]], None] = lambda event: None
    """Called with small events (progress, checkpoint); never blocks for long. It may raise after a
    checkpoint, when the job was asked to stop there."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds by activity (``rollout``, ``scoring``, ``update``, ...), kept beside the artifact."""
    counts: dict[str, float] = field(default_factory=dict)
    """Budgets spent: ``preferences``, ``generated_tokens``, ``reward_calls``, ``dropped_long``."""
    numerics: dict[str, Any] = field(default_factory=dict)
    """What rounding depends on besides the machine: micro-batch, dtype, optimizer."""

    @contextmanager
    def timed(self, activity: str) -> Iterator[None]:
        """Add the wall time of the block to ``timings[activity]``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.timings[activity] = self.timings.get(activity, 0.0) + spent

    def count(self, **amounts: float) -> None:
        """Add to the budgets spent."""
        for name, amount in amounts.items():
            self.counts[name] = self.counts.get(name, 0.0) + amount

    def progress(self, done: int, total: int) -> None:
        """Say how far the job is, in the stage's own steps."""
        self.report({"event": "progress", "done": done, "total": total})

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one line to the step metrics; NaN is written as null and stays counted."""
        clean = {key: _json_number(value) for key, value in metrics.items()}
        with open(self.output / METRICS, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **clean}, allow_nan=False) + "\n")

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint atomically; ``state`` holds tensors and plain values only."""
        import torch

        metrics = self.output / METRICS
        full = {
            "state": dict(state),
            "metrics": metrics.read_bytes().decode() if metrics.exists() else "",
            "timings": dict(self.timings),
            "counts": dict(self.counts),
        }
        partial = self.scratch / (CHECKPOINT + ".partial")
        with open(partial, "wb") as file:
            torch.save(full, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self.scratch / CHECKPOINT)
        self.report({"event": "checkpoint"})

    def load_checkpoint(self) -> dict[str, Any] | None:
        """Return the state of the last complete checkpoint, or None; metrics are cut back to it.

        A checkpoint whose bytes a disk changed is none: the job starts from the beginning.
        """
        path = self.scratch / CHECKPOINT
        if not path.exists():
            return None
        full = _load(path)
        if full is None:
            logger.warning("%s is damaged; starting from the beginning", path)
            return None
        metrics = self.output / METRICS
        if full["metrics"] or metrics.exists():  # A stage without metrics leaves no such file.
            metrics.write_text(full["metrics"], encoding="utf-8")
        self.timings.update(full["timings"])
        self.counts.update(full["counts"])
        state: dict[str, Any] = full["state"]
        return state


def _load(path: Path) -> dict[str, Any] | None:
    """Return what a checkpoint holds, or None where it is damaged."""
    import torch

    # torch writes checksums and does not look at them: of 1,500 files with a flipped bit each it
    # loaded 1,057 with other numbers than were saved.
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError, zlib.error):
        return None
    try:
        full: dict[str, Any] = torch.load(path, weights_only=True)
    except RuntimeError as error:
        if "PytorchStreamReader" not in str(error):  # No memory, say.
            raise
        return None
    return full


def _json_number(value: float) -> float | None:
    number = float(value)
    return number if number == number and abs(number) != float("inf") else None
