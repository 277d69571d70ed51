"""Which benchmarks can tell cells apart at all: spread between cells against spread by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Separation:
    """Of one benchmark; both spreads relative to the mean of the scores they are of."""

    signal: float
    """Largest difference between two cells."""
    noise: float
    """Standard deviation of scores that differ by chance alone."""

    @property
    def ratio(self) -> float:
        """Signal over noise; NaN where either is unknown or no noise was seen."""
        return self.signal / self.noise if self.noise > 0 else math.nan


def separation(cells: ArrayLike, by_chance: ArrayLike) -> Separation:
    """Return signal and noise of a benchmark (Heineman et al. 2025, "Signal and Noise").

    ``cells`` holds one score a cell, ``by_chance`` scores of one recipe: of its last checkpoints,
    as in the paper, or of its training seeds. The standard deviation is the paper's, over n.
    NaN with fewer than two of either, or a mean of 0.
    """
    found, same = np.asarray(cells, np.float64), np.asarray(by_chance, np.float64)
    signal = _relative(float(np.ptp(found)), found) if len(found) > 1 else math.nan
    noise = _relative(float(same.std()), same) if len(same) > 1 else math.nan
    return Separation(signal, noise)


def _relative(spread: float, scores: np.ndarray) -> float:
    mean = abs(float(scores.mean()))
    return spread / mean if mean > 0 else math.nan
