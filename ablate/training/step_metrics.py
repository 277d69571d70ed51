"""Means over the optimizer steps of one rollout batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class StepMetrics:
    """Sums over optimizer steps, and the first step's ratio."""

    sums: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    deviation: float = 0.0
    """Largest |ratio - 1| before the first update: pure rounding."""

    def add(self, metrics: Mapping[str, float]) -> None:
        """Add one optimizer step."""
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in metrics.items()}
        self.steps += 1

    def means(self) -> dict[str, float]:
        """Return the mean of everything that was added; nothing where no step was taken."""
        return {name: value / self.steps for name, value in self.sums.items()}
