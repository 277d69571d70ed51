"""From the item scores of runs to the seeds x items arrays that the statistics want."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ablate.reporting.artifacts import Items, MetricRow, Stratum
from ablate.reporting.strata import weights_of
from ablate.stats.crossed import Arm, split_strata
from ablate.stats.estimate import FloatArray

TOLERANCE = 0.01
"""Largest gap, in points, between a stored percentage and the mean of its items."""
RELATIVE = 1e-4
"""The same for other units, of 1 or of the score where that is larger: rewards may be tiny or huge,
and 0.01 of a reward is no rounding."""
Table = Mapping[Stratum, Items]
Places = NDArray[np.intp]


def same_items(left: Table, right: Table) -> bool:
    """Return whether two tables hold the same items stratum by stratum."""
    return left.keys() == right.keys() and all(
        # Of a study's files the names are one object: comparing 5,000 texts is for the others.
        items.keys is right[name].keys or items.keys == right[name].keys
        for name, items in left.items()
    )


def arm_of(tables: Sequence[Table], rows: Sequence[MetricRow]) -> Arm | None:
    """Return the item scores of a cell's runs, one table and one stored score a run, or None.

    Subsets that a task declares are strata of their own, so that which subsets there are is no
    source of error; not where a cluster reaches over two of them, for its items are then dependent.
    None where a run has no item scores, where runs differ in items, or where the items' mean is not
    the stored score: the statistics then use the seeds alone.
    """
    if not tables or not all(tables):
        return None
    first = tables[0]
    if not all(same_items(first, table) for table in tables[1:]):
        return None
    weights = weights_of(first, rows[0])
    strata: dict[str, FloatArray] = {}
    shares: dict[str, float] = {}
    clusters: dict[str, Sequence[str]] = {}
    for stratum, items in first.items():
        scores = np.stack([table[stratum].values for table in tables])
        whole = "/".join(stratum)
        parts = _parts(items.subsets, items.clusters) if items.subsets else None
        if parts is None:
            strata[whole], shares[whole] = scores, weights[whole]
            clusters |= {whole: items.clusters} if items.clusters else {}
        for subset, chosen in (parts or {}).items():
            name = f"{whole}/{subset}"
            strata[name], shares[name] = (
                scores[:, chosen],
                weights[whole] * len(chosen) / scores.shape[1],
            )
            if items.clusters:
                clusters[name] = tuple(items.clusters[place] for place in chosen)
    arm = Arm(strata, shares, clusters)
    stored = np.array([row.value for row in rows])
    allowed = RELATIVE * np.maximum(1.0, np.abs(stored))
    if rows[0].unit == "percent":
        allowed = np.full(len(rows), TOLERANCE)
    # An undefined score is no gap that may pass.
    return arm if bool((np.abs(arm.seed_scores - stored) <= allowed).all()) else None


@lru_cache(maxsize=64)
def _parts(subsets: tuple[str, ...], clusters: tuple[str, ...]) -> dict[str, Places] | None:
    """Return the places of each subset's items; None where a cluster reaches over two subsets."""
    places = np.arange(len(subsets), dtype=np.float64)[None]
    split, _ = split_strata(places, subsets)
    parts = {name: found[0].astype(np.intp) for name, found in split.items()}
    if clusters:
        ties = np.array(clusters)
        held = [name for chosen in parts.values() for name in set(ties[chosen])]
        if len(held) > len(set(held)):
            return None
    return parts
