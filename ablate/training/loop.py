"""The loop that SFT, reward models, DPO and base models share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ablate.spec.stages import TrainingConfig
from ablate.store.workspace import Workspace
from ablate.training.device import autocast, record_numerics
from ablate.training.learner import Learner, Share
from ablate.training.order import turns

SUMMARY = "summary.json"


class Objective(Protocol):
    """What one optimizer step minimizes, cut into shares that add up."""

    def weight(self, batch: Sequence[int]) -> float:
        """Return the step's denominator: its pairs, or its completion tokens."""

    def share(self, micro: Sequence[int], weight: float) -> Share:
        """Return what some of the step's examples add to its loss and metrics."""

    def tokens(self, batch: Sequence[int]) -> int:
        """Return the completion tokens that a batch trains on."""


@dataclass(frozen=True)
class Pace:
    """How a loop runs; none of it changes the update, but for rounding."""

    device: str = "cpu"
    checkpoint_every: int = 50
    """Optimizer steps."""
    micro_batch_size: int | None = None
    """Examples per forward pass; None takes the whole batch."""

    @classmethod
    def of(cls, config: TrainingConfig, device: str) -> Pace:
        """Return the pace that a stage's configuration asks for."""
        return cls(device, config.checkpoint_every_steps, config.micro_batch_size)


def train(
    workspace: Workspace,
    learner: Learner,
    objective: Objective,
    *,
    batches: Sequence[Sequence[int]],
    pace: Pace,
) -> None:
    """Take one optimizer step a batch, from the last checkpoint on.

    Everything random was decided before, so weights, moments and the step number are the whole
    state. What is counted before this call is counted once, however often a job is resumed.
    """
    record_numerics(workspace, pace.device, pace.micro_batch_size)
    if (state := workspace.load_checkpoint()) is not None:
        learner.load_state(state["learner"])
    for step in range(learner.step, len(batches)):
        batch = batches[step]
        with workspace.timed("update"):
            metrics = learner.update(_shares(objective, batch, pace))
        workspace.count(trained_tokens=objective.tokens(batch))
        workspace.log_metrics(step, metrics)
        if (step + 1) % pace.checkpoint_every == 0 and step + 1 < len(batches):
            workspace.save_checkpoint({"learner": learner.state()})
        workspace.progress(step + 1, len(batches))


def _shares(objective: Objective, batch: Sequence[int], pace: Pace) -> Iterator[Share]:
    weight = objective.weight(batch)
    for turn in turns(batch, pace.micro_batch_size):
        with autocast(pace.device):
            share = objective.share(turn.rows, weight)
        yield share.times(turn.weight)


def write_summary(workspace: Workspace, **values: Any) -> None:
    """Write the stage's totals: plain values that the same inputs always give."""
    text = json.dumps(values, sort_keys=True, indent=1, allow_nan=False)
    (workspace.output / SUMMARY).write_text(text + "\n", encoding="utf-8")
