"""Joint draws of the scores of many cells: what their common items and their seeds make of them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

from ablate.stats.crossed import Arm
from ablate.stats.estimate import FloatArray, cluster_index

BLOCK = 2_000_000
"""Item weights that are held at a time: 16 MB."""

Generator = np.random.Generator


def score_draws(arms: Sequence[Arm], *, draws: int, rng: Generator) -> FloatArray:
    """Return how far each arm's score would lie from the one observed, shape (draws, arms).

    Items are resampled within their stratum, whole clusters where there are clusters, and jointly
    for all arms, so that what items do to all of them alike cancels in differences. The spread over
    seeds is added as a normal draw of variance s^2 / S and not by a resample: two or three seeds
    have only a few resamples, none of them in the tail, and their variance is (S - 1) / S of the
    right one. An arm with one seed has the items' part only. Arms on other items (their strata,
    weights or numbers of items differ) are drawn apart: nothing ties them together.
    """
    spread = [
        math.sqrt(arm.seed_scores.var(ddof=1) / arm.n_seeds) if arm.n_seeds > 1 else 0.0
        for arm in arms
    ]
    total: FloatArray = rng.standard_normal((draws, len(arms))) * np.array(spread)
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, arm in enumerate(arms):
        shape = ((name, rows.shape[1], arm.weights[name]) for name, rows in arm.strata.items())
        groups.setdefault(tuple(shape), []).append(index)
    for members in groups.values():
        _add_items(total, members, [arms[index] for index in members], rng)
    return total


def _add_items(
    total: FloatArray, columns: Sequence[int], arms: Sequence[Arm], rng: Generator
) -> None:
    """Add the items' part of arms on the same items to their columns."""
    for name in arms[0].strata:
        residuals = _residual_sums(arms, name)
        size = max(1, BLOCK // len(residuals))
        for start in range(0, len(total), size):
            stop = min(len(total), start + size)
            total[start:stop, columns] += _counts(stop - start, len(residuals), rng) @ residuals


def _residual_sums(arms: Sequence[Arm], name: str) -> FloatArray:
    """Return what each cluster (an item, without clusters) adds to each arm's score, (C, arms)."""
    scores = np.column_stack([arm.strata[name].mean(axis=0) for arm in arms])
    residuals = arms[0].weights[name] * (scores - scores.mean(axis=0)) / len(scores)
    keys: Sequence[Hashable] | None = arms[0].clusters.get(name)
    if keys is not None:
        index = cluster_index(keys, len(scores))
        sums = np.zeros((int(index.max()) + 1, len(arms)))
        np.add.at(sums, index, residuals)
        residuals = sums
    count = len(residuals)
    # A resample's variance is (C - 1) / C of the right one.
    scale = math.sqrt(count / (count - 1)) if count > 1 else math.nan
    return np.asarray(residuals * scale, np.float64)


def _counts(draws: int, size: int, rng: Generator) -> FloatArray:
    """Return how often each of ``size`` units is drawn in ``draws`` resamples, (draws, size)."""
    chosen = rng.integers(0, size, (draws, size))
    chosen += size * np.arange(draws)[:, None]
    counted = np.bincount(chosen.ravel(), minlength=draws * size)
    return counted.reshape(draws, size).astype(np.float64)
