"""Names of cells that fit beside a point or a line."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.reporting.findings import Findings


def short_names(found: Findings, cells: Sequence[str]) -> dict[str, str]:
    """Return names of cells by the levels that tell them apart, where a grid made their names."""
    if found.study.design != "grid":
        return {cell: cell for cell in cells}
    levels = {cell: found.study.levels_of(cell) for cell in cells}
    differ = [
        factor
        for factor in found.study.factors
        if len({levels[cell].get(factor) for cell in cells}) > 1
    ]
    names = {
        cell: ", ".join(levels[cell][f] for f in differ if f in levels[cell]) or cell
        for cell in cells
    }
    return names if len(set(names.values())) == len(cells) else {cell: cell for cell in cells}
