"""How every item of a task came out under every cell, and the tables of pairs of cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ablate.reporting.artifacts import Items, ItemTable, Stratum
from ablate.reporting.evidence import Evidence
from ablate.reporting.records import RunRecord
from ablate.stats.estimate import Estimate, FloatArray, mean_estimate
from ablate.stats.paired import bonett_price, exact_sign_test, mcnemar_exact

MODES = ("main", "greedy", "sampled", "choices")
"""Outputs that are compared, the first kind that a task has."""
Kind = Literal["binary", "judged", "points"]
"""``judged``: won, lost or tied against a reference. ``points``: a grade, which is neither."""
WRONG, RIGHT, TIE, UNSCORED = range(4)
CODES = "wrtu"
"""One letter for each outcome."""
HALF = 0.5
Outcomes = NDArray[np.int8]


@dataclass(frozen=True)
class Column:
    """A task under a cell: the scores of every item, seed by seed."""

    keys: tuple[str, ...]
    prompts: tuple[str, ...]
    """Hash of each item's prompt."""
    scores: FloatArray
    """As the evaluation wrote them, seeds by items; NaN where a seed has no score."""
    outcomes: Outcomes
    """Of the same shape."""


@dataclass(frozen=True)
class TaskBoard:
    """One task under every cell that has it."""

    name: str
    """What the page calls it, unique in a study."""
    stratum: Stratum
    mode: str
    kind: Kind
    columns: Mapping[str, Column]
    """By cell."""


@dataclass(frozen=True)
class PairTable:
    """All items that two cells share, by outcome under the first seed of each.

    For a task of points ``only_a`` and ``only_b`` are the items that one side scores higher on, and
    ``ties`` those with equal scores.
    """

    only_a: int
    only_b: int
    both: int
    neither: int
    ties: int
    """Items with a judge's tie on either side: they stand outside the test."""
    unscored: int
    unpaired: int
    """Items that only one side has."""
    flipped_a: int
    """Items that only A has right under every seed that both have; 0 with fewer than two."""
    flipped_b: int
    difference: Estimate
    """B minus A: of the shares that are right, or of points."""
    p_value: float
    """Exact McNemar test; for points the sign test over items."""


def boards(evidence: Evidence, runs: Mapping[str, Sequence[RunRecord]]) -> list[TaskBoard]:
    """Return every task with item scores; ``runs`` are the finished runs of each cell by seed."""
    tables = {cell: [evidence.items(run) for run in found] for cell, found in runs.items()}
    chosen: dict[Stratum, tuple[str, str]] = {}
    for table in (t for of_cell in tables.values() for t in of_cell):
        for stratum, kind in _kinds(table).items():
            chosen.setdefault(stratum, kind)
    names = _names(list(chosen))
    return [
        TaskBoard(
            names[stratum],
            stratum,
            mode,
            _kind(evidence, stratum),
            {
                cell: column
                for cell, of_cell in tables.items()
                if (column := _column(evidence, of_cell, stratum, (mode, score))) is not None
            },
        )
        for stratum, (mode, score) in chosen.items()
    ]


def _kinds(table: ItemTable) -> dict[Stratum, tuple[str, str]]:
    """Return by stratum the mode and the score that are compared: ``acc``, else the only one."""
    found: dict[Stratum, tuple[str, str]] = {}
    for mode in MODES:
        names = [name for of, name in table.scores if of == mode]
        for name in sorted(names, key=lambda name: name != "acc"):
            for stratum in table.scores[mode, name]:
                if name == "acc" or len(names) == 1:
                    found.setdefault(stratum, (mode, name))
    return found


def _names(strata: Sequence[Stratum]) -> dict[Stratum, str]:
    tasks = [task or category for category, task in strata]
    return {
        stratum: name if tasks.count(name) == 1 else f"{stratum[0]}: {name}"
        for stratum, name in zip(strata, tasks, strict=True)
    }


def _kind(evidence: Evidence, stratum: Stratum) -> Kind:
    task = evidence.tasks.get(stratum[1])
    if task is None:
        return "binary"
    if task.unit == "points":
        return "points"
    return "judged" if "judge" in task.needs else "binary"


def _column(
    evidence: Evidence, tables: Sequence[ItemTable], stratum: Stratum, score: tuple[str, str]
) -> Column | None:
    """Return a cell's scores of a task; items are those of its first seed."""
    found = [table.scores.get(score, {}).get(stratum) for table in tables]
    first = found[0] if found else None
    if first is None:
        return None
    scores = np.stack([_aligned(items, first.keys) for items in found])
    task = evidence.tasks.get(stratum[1])
    turned = 1 - scores if task is not None and task.direction == "lower" else scores
    outcomes = _outcomes(turned, judged=_kind(evidence, stratum) == "judged")
    return Column(first.keys, first.prompts, scores, outcomes)


def _aligned(items: Items | None, keys: tuple[str, ...]) -> FloatArray:
    if items is None:
        return np.full(len(keys), np.nan)
    if items.keys == keys:
        return items.values
    known = dict(zip(items.keys, items.values, strict=True))
    return np.array([known.get(key, math.nan) for key in keys], np.float64)


def _outcomes(values: FloatArray, *, judged: bool) -> Outcomes:
    """Right is a score of at least one half: over several outputs, at least half of them right."""
    found = np.where(values >= HALF, RIGHT, WRONG)
    if judged:
        found[values == HALF] = TIE
    found[np.isnan(values)] = UNSCORED
    return found.astype(np.int8)


def pair_table(
    board: TaskBoard, a: str, b: str, *, seeds: Mapping[str, Sequence[int]]
) -> PairTable | None:
    """Return the table of a task for two cells; None where one of them does not have it.

    ``seeds`` names those behind the rows of each cell's scores.
    """
    left, right = board.columns.get(a), board.columns.get(b)
    if left is None or right is None:
        return None
    here, there = _places(left.keys, right.keys)
    sides = left.outcomes[:, here], right.outcomes[:, there]
    unpaired = len(set(left.keys) ^ set(right.keys)) if left.keys != right.keys else 0
    if board.kind == "points":
        scores = left.scores[0, here], right.scores[0, there]
        return _points(scores[0], scores[1], unpaired)
    one, other = sides[0][0], sides[1][0]
    unscored = (one == UNSCORED) | (other == UNSCORED)
    ties = ~unscored & ((one == TIE) | (other == TIE))
    rest = ~unscored & ~ties
    only_a, only_b, both, neither = (
        int((rest & (one == x) & (other == y)).sum())
        for x, y in ((RIGHT, WRONG), (WRONG, RIGHT), (RIGHT, RIGHT), (WRONG, WRONG))
    )
    flipped = flips(sides[0], sides[1], (seeds[a], seeds[b]))
    return PairTable(
        only_a=only_a,
        only_b=only_b,
        both=both,
        neither=neither,
        ties=int(ties.sum()),
        unscored=int(unscored.sum()),
        unpaired=unpaired,
        flipped_a=int((flipped < 0).sum()),
        flipped_b=int((flipped > 0).sum()),
        difference=bonett_price(only_b, only_a, only_a + only_b + both + neither),
        p_value=mcnemar_exact(only_b, only_a),
    )


def _places(left: tuple[str, ...], right: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Return where the shared items stand on either side."""
    if left == right:
        return list(range(len(left))), list(range(len(left)))
    at = {key: place for place, key in enumerate(right)}
    pairs = [(place, at[key]) for place, key in enumerate(left) if key in at]
    return [one for one, _ in pairs], [other for _, other in pairs]


def flips(
    left: Outcomes, right: Outcomes, seeds: tuple[Sequence[int], Sequence[int]]
) -> NDArray[np.int8]:
    """Return 1 for items that the right side alone has right under every shared seed.

    −1 where the left side alone has, else 0; all 0 with fewer than two shared seeds.
    """
    shared = [(x, list(seeds[1]).index(s)) for x, s in enumerate(seeds[0]) if s in seeds[1]]
    if len(shared) < 2:
        return np.zeros(left.shape[1], np.int8)
    one, other = left[[x for x, _ in shared]], right[[y for _, y in shared]]
    up = ((one == WRONG) & (other == RIGHT)).all(axis=0)
    down = ((one == RIGHT) & (other == WRONG)).all(axis=0)
    steady: NDArray[np.int8] = up.astype(np.int8) - down.astype(np.int8)
    return steady


def _points(left: FloatArray, right: FloatArray, unpaired: int) -> PairTable:
    known = ~(np.isnan(left) | np.isnan(right))
    one, other = left[known], right[known]
    higher_a, higher_b = int((one > other).sum()), int((other > one).sum())
    return PairTable(
        only_a=higher_a,
        only_b=higher_b,
        both=0,
        neither=0,
        ties=int((one == other).sum()),
        unscored=int((~known).sum()),
        unpaired=unpaired,
        flipped_a=0,
        flipped_b=0,
        difference=mean_estimate(other - one),
        p_value=exact_sign_test(higher_b, higher_a),
    )
