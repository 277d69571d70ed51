"""The loop that SFT, reward models, offline preference learning and base models share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ablate.models.ranks import largest
from ablate.spec.stages import TrainingConfig
from ablate.store.workspace import Workspace
from ablate.training.device import autocast, record_numerics
from ablate.training.divergence import Divergence
from ablate.training.learner import Learner, Share
from ablate.training.order import turns

SUMMARY = "summary.json"


class Objective(Protocol):
    """What one optimizer step minimizes, cut into shares that add up."""

    def weight(self, batch: Sequence[int]) -> Any:
        """Return what all shares of a step need of the whole step: above all its denominator."""

    def share(self, micro: Sequence[int], weight: Any) -> Share:
        """Return what some of the step's examples add to its loss and metrics."""

    def tokens(self, batch: Sequence[int]) -> int:
        """Return the completion tokens that a batch trains on."""


@dataclass(frozen=True)
class Pace:
    """How a loop runs; but for ``seconds`` none of it changes an update beyond rounding."""

    device: str = "cpu"
    checkpoint_every: int = 50
    """Optimizer steps."""
    micro_batch_size: int | None = None
    """Examples per forward pass; None takes the whole batch."""
    seconds: float | None = None
    """Wall seconds that end the stage, whose batches then come again and again; None takes every
    batch once."""

    after: Callable[[int], None] = lambda steps: None
    """Called when so many steps have been taken, before what they led to is checkpointed."""

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
    used: Callable[[int], Mapping[str, float]] = lambda step: {},
) -> None:
    """Take one optimizer step a batch, from the last checkpoint on.

    Everything random was decided before, so weights, moments and the step number are the whole
    state. What is counted before this call is counted once, however often a job is resumed.
    ``used`` says what the steps up to one have cost; it is logged beside their metrics.
    """
    record_numerics(workspace, pace.device, pace.micro_batch_size)
    if (state := workspace.load_checkpoint()) is not None:
        learner.load_state(state["learner"])
    divergence = Divergence(workspace)
    while not _finished(workspace, learner, pace, steps=len(batches)):
        step = learner.step
        batch = batches[step % len(batches)]
        with workspace.timed("update"):
            with autocast(pace.device):
                weight = objective.weight(batch)
            metrics = learner.update(_shares(objective, batch, weight, pace))
        workspace.count(trained_tokens=objective.tokens(batch))
        workspace.log_metrics(step, {**metrics, **used(step)})
        divergence.look(step, metrics)
        pace.after(learner.step)
        last = pace.seconds is None and step + 1 == len(batches)
        if (step + 1) % pace.checkpoint_every == 0 and not last:
            workspace.save_checkpoint({"learner": learner.state()})
        _report(workspace, learner, pace, steps=len(batches))


def _finished(workspace: Workspace, learner: Learner, pace: Pace, *, steps: int) -> bool:
    """Return whether the stage is over; tell the schedule how much of a budget is spent."""
    if pace.seconds is None:
        return learner.step >= steps
    learner.spent = largest(sum(workspace.timings.values())) / pace.seconds
    return learner.spent >= 1.0


def _report(workspace: Workspace, learner: Learner, pace: Pace, *, steps: int) -> None:
    if pace.seconds is None:
        workspace.progress(learner.step, steps)
    else:
        spent = sum(workspace.timings.values()) / pace.seconds
        workspace.progress(min(int(1000 * spent), 1000), 1000)


def _shares(objective: Objective, batch: Sequence[int], weight: Any, pace: Pace) -> Iterator[Share]:
    for turn in turns(batch, pace.micro_batch_size):
        with autocast(pace.device):
            share = objective.share(turn.rows, weight)
        yield share.times(turn.weight)


def write_summary(workspace: Workspace, **values: Any) -> None:
    """Write the stage's totals: plain values that the same inputs always give."""
    text = json.dumps(values, sort_keys=True, indent=1, allow_nan=False)
    (workspace.output / SUMMARY).write_text(text + "\n", encoding="utf-8")
