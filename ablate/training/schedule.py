"""The learning rate of each optimizer step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ablate.spec.stages import Schedule as Shape


@dataclass(frozen=True)
class LearningRate:
    """A linear warm-up from 0, then a decay to 0; a pure function of the step."""

    peak: float
    shape: Shape
    warmup_fraction: float
    steps: int
    """Optimizer steps of the whole stage."""

    @property
    def warmup_steps(self) -> int:
        """Steps over which the rate rises."""
        return round(self.warmup_fraction * self.steps)

    def at(self, step: int) -> float:
        """Return the rate of 0-based ``step``.

        No step has rate 0: the first of w warm-up steps gets 1/w of the peak, and the decay would
        reach 0 one step after the last. transformers' schedules start with a step of rate 0.
        """
        warmup = self.warmup_steps
        if step < warmup:
            return self.peak * (step + 1) / warmup
        done = (step - warmup) / max(self.steps - warmup, 1)
        match self.shape:
            case "constant":
                return self.peak
            case "linear":
                return self.peak * (1.0 - done)
            case "cosine":
                return self.peak * 0.5 * (1.0 + math.cos(math.pi * done))
