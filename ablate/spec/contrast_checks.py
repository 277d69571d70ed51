"""What is wrong with the cells, levels and factors that comparisons and notes of a study name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ablate.errors import nearest
from ablate.spec.analysis import DeclaredContrast
from ablate.spec.candidates import Candidate, Factor
from ablate.spec.factors import UNUSED
from ablate.spec.imported import AVERAGE
from ablate.spec.messages import one_of
from ablate.spec.problems import Place, Problem
from ablate.spec.study import Study
from ablate.spec.suites import TaskDefinition

MOST_SHOWN = 12
"""Names that a message lists."""


def contrast_problems(
    study: Study, factors: Sequence[Factor], candidates: Sequence[Candidate]
) -> Iterator[Problem]:
    """Yield what no cell of the study is called, and factors and levels that it does not have."""
    names = [*study.rows, *(candidate.name for candidate in candidates), *study.imported]
    for index, entry in enumerate(study.analysis.contrasts or ()):
        place: Place = ("analysis", "contrasts", index)
        if entry == "steps" and not _has_steps(study, candidates):
            found = "'steps' compares nothing: no ladder, and no row stands `after` another."
            yield Problem(place, f"{found} Remove it.")
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


def metric_problems(study: Study, tasks: Mapping[str, TaskDefinition]) -> Iterator[Problem]:
    """Yield what is wrong with the metrics that the analysis names.

    ``tasks`` are those of the suite, none where the study consists of imported rows.
    """
    analysis, rows = study.analysis, study.imported.values()
    published = dict.fromkeys(name for row in rows for name in (*row.scores, *row.tasks))
    alone = bool(published) and not tasks and not any(row.files for row in rows)
    if alone and any(row.scores for row in rows):
        published.setdefault(AVERAGE)
    for name, place in (
        (analysis.primary, ("analysis", "primary")),
        *((name, ("analysis", "margins", name)) for name in analysis.margins),
    ):
        if alone:
            found = "" if name in published else _one_of(name, list(published))
        else:
            found = "" if name in published else primary_problem(name, tasks)
        if found:
            yield Problem(place, found, at_key=len(place) == 3)


def _has_steps(study: Study, candidates: Sequence[Candidate]) -> bool:
    return any(c.parent is not None for c in candidates) or any(
        row.after is not None for row in study.imported.values()
    )


def primary_problem(primary: str, tasks: Mapping[str, TaskDefinition]) -> str:
    """Return what is wrong with the primary metric of a suite with these tasks; empty if nothing.

    Only a name close to one of the suite's is refused: benchmarks have further scores, rewards and
    diagnostics that no list holds.
    """
    known = {AVERAGE: None, **dict.fromkeys(task.category or name for name, task in tasks.items())}
    known |= dict.fromkeys(tasks)
    plain = primary.removeprefix("greedy_")
    derived = any(plain.startswith(f"{name}_") for name in known)
    if not tasks or plain in known or derived or not nearest(plain, known):
        return ""
    return one_of(primary, known)


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
