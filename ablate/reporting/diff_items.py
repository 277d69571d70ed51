"""Items whose score differs between two cells, with the exact test of McNemar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ablate.reporting.artifacts import Items, Stratum
from ablate.reporting.contrasts import Contrast
from ablate.reporting.estimating import common_seeds
from ablate.reporting.evidence import Evidence
from ablate.stats.estimate import FloatArray
from ablate.stats.paired import mcnemar_exact


@dataclass(frozen=True)
class Flips:
    """Items by how the control (A) and the treatment (B) scored under one seed."""

    seed: int
    only_right: int
    """Items that B scores higher: right in B alone where an item is right or wrong."""
    only_left: int
    """Items that A scores higher."""
    equal: int
    p_value: float
    """Exact, two-sided: that an item which differs falls either way alike. These checkpoints."""


@dataclass(frozen=True)
class ItemFlip:
    """An item that one side scores higher under every seed."""

    category: str
    task: str
    item: str
    """Document's hash and number."""
    left: float
    """Mean score over seeds, in the metric's unit."""
    right: float


@dataclass(frozen=True)
class ItemChanges:
    """What became of single items."""

    seeds: tuple[Flips, ...]
    gained: tuple[ItemFlip, ...]
    """Scored higher by B under every seed; the largest differences first."""
    lost: tuple[ItemFlip, ...]


NOTHING = ItemChanges((), (), ())


def item_changes(evidence: Evidence, contrast: Contrast, metric: str) -> ItemChanges:
    """Return the flipped items behind a metric; nothing where the sides have no items in common.

    A lower score counts as worse, so a metric whose direction is ``lower`` reads the other way.
    """
    seeds = common_seeds(evidence, contrast)
    left = _tables(evidence, contrast.control, metric, seeds)
    right = _tables(evidence, contrast.treatment, metric, seeds)
    if (
        not left
        or len(left) != len(right)
        or len({_shape(table) for table in (*left, *right)}) != 1
    ):
        return NOTHING
    names = list(left[0])
    before = np.stack([_flat(table, names) for table in left])
    after = np.stack([_flat(table, names) for table in right])
    counted = [_counts(*row) for row in zip(seeds, before, after, strict=True)]
    places = [(*name, key) for name in names for key in left[0][name].keys]
    gained = _flipped(places, before, after, np.all(after > before, axis=0))
    lost = _flipped(places, before, after, np.all(after < before, axis=0))
    return ItemChanges(tuple(counted), gained, lost)


def _tables(
    evidence: Evidence, cell: str, metric: str, seeds: Sequence[int]
) -> list[dict[Stratum, Items]]:
    runs = {run.seed: run for run in evidence.finished(cell)}
    # A published row has seeds of its own and no items.
    tables = [evidence.strata(runs[seed], metric) for seed in seeds if seed in runs]
    return tables if all(tables) else []


def _shape(table: dict[Stratum, Items]) -> tuple[tuple[Stratum, tuple[str, ...]], ...]:
    return tuple(sorted((name, items.keys) for name, items in table.items()))


def _flat(table: dict[Stratum, Items], names: Sequence[Stratum]) -> FloatArray:
    return np.concatenate([table[name].values for name in names])


def _counts(seed: int, before: FloatArray, after: FloatArray) -> Flips:
    up, down = int(np.sum(after > before)), int(np.sum(after < before))
    return Flips(seed, up, down, len(before) - up - down, mcnemar_exact(up, down))


def _flipped(
    places: Sequence[tuple[str, str, str]],
    before: FloatArray,
    after: FloatArray,
    chosen: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> tuple[ItemFlip, ...]:
    left, right = before.mean(axis=0).tolist(), after.mean(axis=0).tolist()
    flips = [
        ItemFlip(category, task, item, left[index], right[index])
        for index, (category, task, item) in enumerate(places)
        if chosen[index]
    ]
    return tuple(sorted(flips, key=lambda f: (-abs(f.right - f.left), f.category, f.task, f.item)))
