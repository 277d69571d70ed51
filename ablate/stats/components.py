"""Variance components by moments of the analysis of variance: seeds, items, and what is left.

Closed forms: a mixed model with crossed items and seeds takes minutes on tables of this size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ablate.stats.crossed import Arm
from ablate.stats.estimate import FloatArray, mean_error


@dataclass(frozen=True)
class OneWay:
    """Groups of numbers: what varies between groups and what within them."""

    mean: float
    standard_error: float
    """Of the mean, groups drawn at random; NaN with one group."""
    between: float
    """Variance of the groups' true means; below 0 where they differ less than chance makes them."""
    within: float


def one_way_components(groups: Sequence[ArrayLike]) -> OneWay:
    """Return the components of groups of any sizes; equal to REML where the sizes are equal.

    NaN where there are not two groups, or no group has two numbers. Empty groups are left out.
    """
    values = [array for group in groups if len(array := np.asarray(group, np.float64))]
    sizes = np.array([len(group) for group in values], np.float64)
    count, total = len(values), float(sizes.sum())
    if count == 0:
        return OneWay(math.nan, math.nan, math.nan, math.nan)
    means = np.array([group.mean() for group in values])
    mean = float((sizes * means).sum() / total)
    rest = sum(float(((group - group.mean()) ** 2).sum()) for group in values)
    within = rest / (total - count) if total > count else math.nan
    if count < 2:
        return OneWay(mean, math.nan, math.nan, within)
    square = float((sizes * (means - mean) ** 2).sum()) / (count - 1)
    typical = (total - float((sizes**2).sum()) / total) / (count - 1)
    between = (square - within) / typical
    return OneWay(mean, math.sqrt(square / total), between, within)


@dataclass(frozen=True)
class RunVariance:
    """What one run's score varies by, each part in squared units of the score.

    Moment estimates: a part that is truly near 0 may come out below it.
    """

    seed: float
    """Training seed: the whole checkpoint."""
    item: float
    """Which items were drawn; the same in every cell, so it cancels in differences."""
    item_arm: float
    """Items that suit one cell more than another."""
    residual: float
    """Item x seed within a cell: what decoding and training do to single items."""
    arms: int
    seeds: int
    items: int


def run_variance(arms: Sequence[Arm]) -> RunVariance:
    """Return the components of the score of arms on the same items with equal numbers of seeds.

    Arms and items are crossed, seeds nested in arms. Item parts are those of the score: divided by
    items and weighted by stratum. Items count as independent. Raises ValueError for fewer than two
    arms or seeds, or where shapes differ.
    """
    _check(arms)
    item = item_arm = residual = 0.0
    for name in arms[0].strata:
        table = np.stack([arm.strata[name] for arm in arms])
        scale = arms[0].weights[name] ** 2 / table.shape[2]
        by_item, by_both, rest = _mean_squares(table)
        seeds = table.shape[1]
        item += scale * (by_item - by_both) / (len(arms) * seeds)
        item_arm += scale * (by_both - rest) / seeds
        residual += scale * rest
    pooled = float(np.mean([arm.seed_scores.var(ddof=1) for arm in arms]))
    first = arms[0]
    sizes = (len(arms), first.n_seeds, first.n_items)
    return RunVariance(pooled - residual, item, item_arm, residual, *sizes)


def _check(arms: Sequence[Arm]) -> None:
    shapes = {tuple((name, rows.shape) for name, rows in arm.strata.items()) for arm in arms}
    if len(arms) < 2 or len(shapes) != 1 or arms[0].n_seeds < 2:
        raise ValueError(
            f"{len(arms)} arms of {len(shapes)} shapes; two arms at least, on the same items and"
            " with the same number of seeds, two at least, are allowed"
        )


def _mean_squares(table: FloatArray) -> tuple[float, float, float]:
    """Return the mean squares of items, items x arms, and the rest, of (arms, seeds, items)."""
    arms, seeds, items = table.shape
    cells, checkpoints = table.mean(axis=1), table.mean(axis=2, keepdims=True)
    middle, both = table.mean(axis=(0, 1)), _interaction(table)
    rest = table - cells[:, None, :] - checkpoints + cells.mean(axis=1)[:, None, None]
    by_item = arms * seeds * float(((middle - middle.mean()) ** 2).sum())
    return (
        by_item / (items - 1),
        seeds * float((both**2).sum()) / ((arms - 1) * (items - 1)),
        float((rest**2).sum()) / (arms * (seeds - 1) * (items - 1)),
    )


def _interaction(table: FloatArray) -> FloatArray:
    """Return items x arms without what is common to an item or to an arm, shape (arms, items)."""
    cells = table.mean(axis=1)
    centred: FloatArray = (
        cells - cells.mean(axis=0) - cells.mean(axis=1, keepdims=True) + cells.mean()
    )
    return centred


@dataclass(frozen=True)
class ItemSpread:
    """What the choice of items adds to differences between arms, as variance of one arm's score."""

    variance: float
    overlap: float
    """What `variance` and the variance over seeds both hold."""
    degrees: float


def item_spread(arms: Sequence[Arm]) -> ItemSpread:
    """Return the spread over items x arms of the score of seed-averaged arms on the same items.

    Clusters of items count as one draw. `run_variance` says what is raised.
    """
    _check(arms)
    count = len(arms)
    variance = overlap = spread = 0.0
    for name in arms[0].strata:
        table = np.stack([arm.strata[name] for arm in arms])
        clusters = arms[0].clusters.get(name)
        errors = [mean_error(row, clusters) for row in _interaction(table)]
        square = sum(error**2 for error, _ in errors) / (count - 1)
        weight = arms[0].weights[name] ** 2
        variance += weight * square
        spread += (weight * square) ** 2 / ((count - 1) * errors[0][1])
        overlap += weight * _mean_squares(table)[2] / (table.shape[1] * table.shape[2])
    return ItemSpread(variance, overlap, variance**2 / spread if spread > 0 else math.inf)
