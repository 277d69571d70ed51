"""How small a difference a study will be able to see, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ablate.plan.baseline import baseline_cells
from ablate.plan.cells import Cell
from ablate.spec.evaluation import EvaluationConfig
from ablate.spec.registry import registry
from ablate.spec.study import Study
from ablate.stats.power import Assumptions, planned_effect
from ablate.stats.sequential import Looks


@dataclass(frozen=True)
class Sight:
    """The smallest true difference that the plan finds, and what that rests on."""

    detectable_points: float
    """Of the suite's average, with the power below."""
    margin_points: float
    """The study's smallest effect of interest."""
    items: int
    seeds: int
    """With ``seeds.looks`` those of the last look, at whose level the difference is found."""
    comparisons: int
    """Cells against the baseline; alpha is divided by them."""
    assumed: Assumptions


def sight(study: Study, cells: Sequence[Cell]) -> Sight | None:
    """Return what the study will see of its suite's average; None for a suite of unknown size."""
    if all(cell.start == "imported" for cell in cells):
        return None
    evaluation = cells[0].recipe.evaluation
    items = _items(evaluation)
    if not items:
        return None
    compared = sum(name != base for name, base in baseline_cells(study, cells).items())
    assumed = Assumptions()
    seeds, looks = study.seeds.most, looks_of(study)
    alpha = study.analysis.alpha / max(1, compared)
    level = alpha if looks is None else looks.levels(alpha)[-1]
    found = planned_effect(items, seeds, assumptions=assumed, alpha=level)
    return Sight(found, study.analysis.margin, sum(items), seeds, compared, assumed)


def looks_of(study: Study) -> Looks | None:
    """Return the looks that a study declares, None for a fixed number of seeds."""
    return Looks(study.seeds.looks, study.seeds.spend) if study.seeds.looks else None


def _items(evaluation: EvaluationConfig) -> list[int]:
    """Return the documents of each category behind the average; nothing where one is unknown."""
    if evaluation.definition is not None:
        counts: dict[str, list[int]] = {}
        for task in evaluation.definition.tasks.values():
            if task.category is not None:
                counts.setdefault(task.category, []).append(task.n_documents or 0)
        sizes = [_effective(sizes) for sizes in counts.values()]
        return sizes if all(sizes) else []
    entry = registry().suites.get(evaluation.suite)
    found = entry.items.get(evaluation.split, ()) if entry else ()
    return [min(size, evaluation.limit or size) for size in found]


def _effective(sizes: Sequence[int]) -> int:
    """Return the items of one task as noisy as the mean of several; 0 where a size is unknown."""
    return round(len(sizes) ** 2 / sum(1 / n for n in sizes)) if all(sizes) else 0
