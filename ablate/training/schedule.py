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
        return self._decayed((step - warmup) / max(self.steps - warmup, 1))

    def at_fraction(self, done: float) -> float:
        """Return the rate after a share of a budget is spent, where nobody knows the last step.

        The warm-up starts at a tenth of the peak, because nothing is spent before the first step.
        """
        if done < self.warmup_fraction:
            return self.peak * max(done / self.warmup_fraction, 0.1)
        left = 1.0 - self.warmup_fraction
        return self._decayed(min((done - self.warmup_fraction) / left, 1.0) if left else 1.0)

    def _decayed(self, done: float) -> float:
        """Return the rate after a share of the decay."""
        match self.shape:
            case "constant":
                return self.peak
            case "linear":
                return self.peak * (1.0 - done)
            case "cosine":
                return self.peak * 0.5 * (1.0 + math.cos(math.pi * done))
