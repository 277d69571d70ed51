"""What each cell's effect is measured against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablate.plan.cells import Cell
from ablate.spec.candidates import find_level
from ablate.spec.design import read_design
from ablate.spec.factors import UNUSED
from ablate.spec.one_factor import CENTRE
from ablate.spec.study import Study


def baseline_cells(study: Study, cells: Sequence[Cell]) -> dict[str, str]:
    """Return the name of the baseline of each cell, itself for the baseline.

    A name holds for every cell. A mapping that names some factors of a grid pairs a cell with the
    one that has the baseline's levels of these and the cell's own of the others; rows, and cells
    with no such partner or with several, are left out. Without ``baseline``, a grid's is the row
    ``sft``, the row ``base`` or the first cell, any other design's the first cell.
    """
    names = [cell.name for cell in cells]
    if isinstance(study.baseline, str):
        return dict.fromkeys(names, study.baseline)
    if study.design == "one_factor_at_a_time":
        return dict.fromkeys(names, CENTRE)
    trained = [cell for cell in cells if not cell.row]
    if isinstance(study.baseline, Mapping):
        return _paired(_baseline_levels(study), trained)
    rows = [name for name in ("sft", "base") if name in names and study.design == "grid"]
    return dict.fromkeys(names, rows[0] if rows else (trained or cells)[0].name)


def _baseline_levels(study: Study) -> dict[str, str]:
    """Return the labels of the levels that a partial baseline names, by factor."""
    named: dict[str, str] = {}
    for factor in read_design(study).factors:
        if factor.name in study.baseline:
            level, _ = find_level(factor, study.baseline[factor.name], ("baseline",))
            if level is not None:
                named[factor.name] = level.label
    return named


def _paired(baseline: Mapping[str, str], cells: Sequence[Cell]) -> dict[str, str]:
    """Pair by levels; a factor that one of two cells does not depend on keeps them together."""
    by_levels = {tuple(cell.levels.items()): cell.name for cell in cells}
    found: dict[str, str] = {}
    for cell in cells:
        target = {**cell.levels, **baseline}
        exact = by_levels.get(tuple(target.items()))
        partners = [exact] if exact else [c.name for c in cells if _agrees(c.levels, target)]
        if len(partners) == 1:
            found[cell.name] = partners[0]
    return found


def _agrees(levels: Mapping[str, str], target: Mapping[str, str]) -> bool:
    return all(
        UNUSED in (text, target[name]) or text == target[name] for name, text in levels.items()
    )
