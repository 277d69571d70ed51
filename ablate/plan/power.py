"""How small a difference a study will be able to see, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ablate.plan.baseline import baseline_cells
from ablate.plan.cells import Cell
from ablate.spec.registry import registry
from ablate.spec.study import Study
from ablate.stats.power import Assumptions, planned_effect


@dataclass(frozen=True)
class Sight:
    """The smallest true difference that the plan finds, and what that rests on."""

    detectable_points: float
    """Of the suite's average, with the power below."""
    margin_points: float
    """The study's smallest effect of interest."""
    items: int
    seeds: int
    comparisons: int
    """Cells against the baseline; alpha is divided by them."""
    assumed: Assumptions


def sight(study: Study, cells: Sequence[Cell]) -> Sight | None:
    """Return what the study will see of its suite's average; None for a suite of unknown size."""
    evaluation = cells[0].recipe.evaluation
    entry = registry().suites.get(evaluation.suite)
    sizes = entry.items.get(evaluation.split) if entry else None
    if not sizes:
        return None
    limit = evaluation.limit or max(sizes)
    items = [min(size, limit) for size in sizes]
    compared = sum(name != base for name, base in baseline_cells(study, cells).items())
    assumed = Assumptions()
    found = planned_effect(
        items,
        study.seeds.n,
        assumptions=assumed,
        alpha=study.analysis.alpha,
        comparisons=compared,
    )
    return Sight(found, study.analysis.margin, sum(items), study.seeds.n, compared, assumed)
