"""Main effects and interactions of a study's factors, on the means of its runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from weakref import WeakKeyDictionary

from ablate.reporting.evidence import Evidence
from ablate.reporting.findings import Findings
from ablate.reporting.grids import Grid, grids_of
from ablate.stats.blocks import Levels, complete_block
from ablate.stats.components import ItemSpread, item_spread
from ablate.stats.crossed import Arm
from ablate.stats.factorial import Factorial, factorial

_NAMED = 4
"""Cells that a sentence names before it counts the rest."""


@dataclass(frozen=True)
class Analysed:
    """One grid on one metric."""

    grid: Grid
    metric: str
    result: Factorial
    cells: tuple[str, ...]
    """Those of the block that was analysed."""
    left_out: tuple[str, ...]
    """Sentences on cells, runs and levels that are not in it."""


_MADE: WeakKeyDictionary[Evidence, dict[str, tuple[Analysed, ...]]] = WeakKeyDictionary()
"""By what was read and by metric: tables, figures and text of one report ask for the same."""


def factor_analyses(found: Findings, metric: str | None = None) -> tuple[Analysed, ...]:
    """Return the analyses of every grid of a study on a metric, the primary one by default.

    Empty for a study without a block of two factors that has results on the metric.
    """
    name = metric or found.study.primary
    made = _MADE.setdefault(found.evidence, {})
    if name not in made:
        grids = (_analysed(found.evidence, grid, name) for grid in grids_of(found.study))
        made[name] = tuple(one for one in grids if one is not None)
    return made[name]


def main_analysis(found: Findings) -> Analysed | None:
    """Return the analysis of the largest grid on the primary metric, which the figures show."""
    return next(iter(factor_analyses(found)), None)


def _analysed(evidence: Evidence, grid: Grid, metric: str) -> Analysed | None:
    scores, said = _scores(evidence, grid, metric)
    block = complete_block(scores)
    kept = [place for place, names in enumerate(block) if len(names) > 1]
    if len(kept) < 2:
        return None
    chosen = [levels for levels in product(*block)]
    cells = {tuple(levels[p] for p in kept): grid.cells[levels] for levels in chosen}
    values = {tuple(levels[p] for p in kept): scores[levels] for levels in chosen}
    outside = [grid.cells[levels] for levels in scores if levels not in chosen]
    if outside:
        holes = "not every combination of their levels with the others has a result"
        said.append(f"Not in the analysis: {_some(outside)}; {holes}.")
    factors = [grid.factors[place] for place in kept]
    result = factorial(values, factors, items=_items(evidence, list(cells.values()), metric))
    return Analysed(grid, metric, result, tuple(cells.values()), tuple(said))


def _scores(
    evidence: Evidence, grid: Grid, metric: str
) -> tuple[dict[Levels, list[float]], list[str]]:
    """Return the scores of each cell that has any, and sentences on what has none."""
    scores: dict[Levels, list[float]] = {}
    invalid, empty, undefined = [], [], []
    for levels, cell in grid.cells.items():
        refused = evidence.invalid(cell)
        values = evidence.values(cell, metric)
        own = [v for seed, v in values.items() if seed not in refused and math.isfinite(v)]
        invalid += [f"{cell} (seed {seed})" for seed in refused]
        undefined += [
            f"{cell} (seed {seed})"
            for seed, value in values.items()
            if seed not in refused and not math.isfinite(value)
        ]
        if own:
            scores[levels] = own
        elif not refused:
            empty.append(cell)
    said = []
    if empty:
        said.append(f"Without a result: {_some(empty)}.")
    if invalid:
        said.append(f"Invalid and left out: {_some(invalid)}.")
    if undefined:
        said.append(f"Undefined and left out: {_some(undefined)}.")
    return scores, said


def _some(names: Sequence[str]) -> str:
    """Return how many there are, and the first of them by name."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} ({', '.join(names[:_NAMED])}{more})"


def _items(evidence: Evidence, cells: Sequence[str], metric: str) -> ItemSpread | None:
    """Return the spread over items of these cells; None where it is not known."""
    arms = arms_of(evidence, cells, metric)
    return item_spread(arms) if arms else None


def arms_of(evidence: Evidence, cells: Sequence[str], metric: str) -> list[Arm]:
    """Return the arms of cells on the same items, for the seeds that all of them have.

    Empty where those are fewer than two, or a cell has no item scores or other items.
    """
    seeds = sorted(
        set.intersection(*({run.seed for run in evidence.finished(cell)} for cell in cells))
        - {seed for cell in cells for seed in evidence.invalid(cell)}
    )
    if len(seeds) < 2 or len({evidence.keys(cell, metric) for cell in cells}) != 1:
        return []
    arms = [evidence.arm(cell, metric, seeds) for cell in cells]
    known = [arm for arm in arms if arm is not None and _has_spread(arm)]
    return known if len(known) == len(arms) and len(known) > 1 else []


def _has_spread(arm: Arm) -> bool:
    """Return whether every stratum has two items, and two clusters where it has clusters."""
    return all(
        rows.shape[1] > 1 and len(set(arm.clusters.get(name, (0, 1)))) > 1
        for name, rows in arm.strata.items()
    )
