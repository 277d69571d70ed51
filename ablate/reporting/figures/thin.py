"""Curves over seeds, and fewer points of them that keep every extreme."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ablate.reporting.artifacts import Curve
from ablate.stats.estimate import FloatArray

FEW_SEEDS = 5
"""Below it a band reaches from the lowest to the highest seed, from it on over the middle 80 %."""


@dataclass(frozen=True)
class Summary:
    """A metric over the steps that every seed has."""

    steps: FloatArray
    mean: FloatArray
    """NaN where any seed's value is."""
    low: FloatArray
    high: FloatArray


def summary(curves: Sequence[Curve], metric: str) -> Summary:
    """Return mean and band over seeds at the steps that all of them have; empty without any."""
    tables = _tables(curves, metric)
    if not tables:
        return Summary(*(np.array([]) for _ in range(4)))
    steps = sorted(set.intersection(*(set(table) for table in tables)))
    values = np.array([[table[step] for step in steps] for table in tables], np.float64)
    few = len(tables) < FEW_SEEDS
    ends = (values.min(axis=0), values.max(axis=0)) if few else np.quantile(values, (0.1, 0.9), 0)
    return Summary(np.array(steps, np.float64), values.mean(axis=0), ends[0], ends[1])


def tails(
    curves: Sequence[Curve], metric: str, shared: Summary
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield what seeds have after the last step that all share, one curve a seed."""
    last = shared.steps[-1] if len(shared.steps) else -np.inf
    for table in _tables(curves, metric):
        steps = np.array(sorted(step for step in table if step >= last), np.float64)
        if len(steps) and steps[-1] > last:
            yield steps, np.array([table[step] for step in steps], np.float64)


def _tables(curves: Sequence[Curve], metric: str) -> list[dict[float, float]]:
    return [
        dict(zip(map(float, curve.steps), map(float, curve.metrics[metric]), strict=True))
        for curve in curves
        if metric in curve.metrics
    ]


def thinned(x: FloatArray, y: FloatArray, most: int) -> tuple[FloatArray, FloatArray]:
    """Return at most about ``most`` points: the lowest and the highest of each short stretch.

    The first and the last point stay, a stretch with gaps keeps one, and extremes are never lost.
    """
    if len(x) <= most:
        return x, y
    kept = {0, len(x) - 1}
    for part in np.array_split(np.arange(len(x)), max(1, most // 2)):
        known = part[np.isfinite(y[part])]
        if len(known):
            kept |= {int(known[np.argmin(y[known])]), int(known[np.argmax(y[known])])}
        if len(known) < len(part):
            kept.add(int(part[~np.isfinite(y[part])][0]))
    index = sorted(kept)
    return x[index], y[index]


def thinned_band(found: Summary, most: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return steps and the two edges of a band at the ends of at most ``most`` stretches.

    Each end takes the extremes of both stretches beside it, so that the band holds all of them.
    """
    count = len(found.steps)
    if count <= most:
        return found.steps, found.low, found.high
    parts = np.array_split(np.arange(count), most)
    index = [0, *(int(part[0]) for part in parts[1:]), count - 1]
    lows = [_end(found.low[part], np.min) for part in parts]
    highs = [_end(found.high[part], np.max) for part in parts]
    low = np.fmin([lows[0], *lows], [*lows, lows[-1]])
    return found.steps[index], low, np.fmax([highs[0], *highs], [*highs, highs[-1]])


def _end(values: FloatArray, of: Callable[[FloatArray], np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(of(known)) if len(known) else math.nan
