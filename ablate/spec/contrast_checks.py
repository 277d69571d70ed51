"""What is wrong with the cells, levels and factors that comparisons and notes of a study name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ablate.spec.analysis import DeclaredContrast
from ablate.spec.candidates import Candidate, Factor
from ablate.spec.factors import UNUSED
from ablate.spec.messages import one_of
from ablate.spec.problems import Place, Problem
from ablate.spec.study import Study

MOST_SHOWN = 12
"""Names that a message lists."""


def contrast_problems(
    study: Study, factors: Sequence[Factor], candidates: Sequence[Candidate]
) -> Iterator[Problem]:
    """Yield what no cell of the study is called, and factors and levels that it does not have."""
    names = [*study.rows, *(candidate.name for candidate in candidates), *study.imported]
    for index, entry in enumerate(study.analysis.contrasts or ()):
        place: Place = ("analysis", "contrasts", index)
        if isinstance(entry, str):
            continue
        if entry.factor:
            yield from _of_a_factor(study, entry, place, factors=factors, candidates=candidates)
            continue
        for key, name in (("treatment", entry.treatment), ("control", entry.control)):
            if not _is_cell(study, name, names):
                yield Problem((*place, key), _one_of(name, names))
    for name in study.notes:
        if not _is_cell(study, name, names):
            yield Problem(("notes", name), _one_of(name, names), at_key=True)


def _is_cell(study: Study, name: str, names: Sequence[str]) -> bool:
    """Whether a cell is called so; a row of several starting points names its levels behind it."""
    return name in names or any(name.startswith(f"{row}, ") for row in study.rows)


def _of_a_factor(
    study: Study,
    entry: DeclaredContrast,
    place: Place,
    *,
    factors: Sequence[Factor],
    candidates: Sequence[Candidate],
) -> Iterator[Problem]:
    levels: dict[str, dict[str, None]] = {factor.name: {} for factor in factors}
    for row in (*(c.levels for c in candidates), *(c.levels for c in study.imported.values())):
        for factor, level in row.items():
            if level != UNUSED:
                levels.setdefault(factor, {})[level] = None
    if entry.factor not in levels:
        yield Problem((*place, "factor"), one_of(entry.factor, levels))
        return
    known = levels[entry.factor]
    for key, level in (("treatment", entry.treatment), ("control", entry.control)):
        if level not in known:
            yield Problem((*place, key), _one_of(level, list(known)))


def _one_of(name: str, names: Sequence[str]) -> str:
    shown = list(dict.fromkeys(names))
    return one_of(name, shown if len(shown) <= MOST_SHOWN else [*shown[:MOST_SHOWN], "..."])
