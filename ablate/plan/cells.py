"""The cells of a study: what is trained and evaluated, each with its resolved recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from ablate.errors import SurroundingsError
from ablate.spec.candidates import Candidate, Factor
from ablate.spec.design import Design, read_design
from ablate.spec.factors import UNUSED, Level
from ablate.spec.load import LoadedStudy, study_error
from ablate.spec.names import Files
from ablate.spec.problems import Place, Problem
from ablate.spec.resolve import Recipe, Resolver, Start, UnresolvedError
from ablate.spec.study import Study
from ablate.spec.yaml_source import Source

CellStart = Literal["policy", "base", "sft"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One level of every factor, or a starting point that is only evaluated."""

    name: str
    """Unique in the study."""
    levels: Mapping[str, str]
    """Label by factor; a dash where the cell does not depend on the factor."""
    overrides: Mapping[str, object]
    """What the study sets, by dotted path."""
    start: CellStart
    """What is evaluated: a trained policy, or a starting point."""
    parent: str | None
    """The rung before, or the rung that a branch leaves."""
    status: str | None
    """``preliminary`` or None."""
    recipe: Recipe
    """The resolved configuration of every stage."""


def expand(study: LoadedStudy | Study) -> list[Cell]:
    """Return the rows and cells of a study, rows first, the rest in the order of the file.

    Raises StudyError with every problem, and SurroundingsError where the study is right but a
    model or data set that it names is not on this machine.
    """
    if isinstance(study, LoadedStudy):
        source, files, studied = study.source, study.files, study.study
    else:
        source, files, studied = Source(study.study), Files(), study
    design = read_design(studied)
    problems = list(design.problems)
    cells = _Expansion(studied, design, files, problems).cells() if not problems else []
    wrong = [problem for problem in problems if not problem.surroundings]
    if wrong:
        raise study_error(source, wrong)
    if problems:
        raise SurroundingsError(str(study_error(source, problems)))
    return cells


class _Expansion:
    """Resolve every candidate once and keep what goes wrong, by place."""

    def __init__(self, study: Study, design: Design, files: Files, problems: list[Problem]) -> None:
        self.study, self.design, self.problems = study, design, problems
        self.resolver = Resolver(files)

    def cells(self) -> list[Cell]:
        rows = [row for name in self.study.rows for row in self._rows(name)]
        cells = [cell for candidate in self.design.candidates if (cell := self._cell(candidate))]
        if not self.problems:
            self._check_equal([*rows, *cells])
        return [*rows, *cells]

    def _recipe(self, candidate: Candidate, start: Start | None = None) -> Recipe | None:
        try:
            return self.resolver.recipe(candidate.overrides, start=start)
        except UnresolvedError as error:
            place = self._place(candidate, error.path)
            known = (
                place[-1:] == (error.path,) or place[:1] == ("base",) or place != candidate.place
            )
            message = error.message if known else f"{error.path}: {error.message}"
            self.problems.append(Problem(place, message, surroundings=error.surroundings))
            return None

    def _place(self, candidate: Candidate, path: str) -> Place:
        """Return where the override to blame stands, or else the cell."""
        if path in candidate.places:
            return candidate.places[path]
        for factor in self.design.factors:
            for level in factor.levels:
                if path in level.places and _label(factor, candidate) == level.label:
                    return level.places[path]
        return self.design.base_places.get(path, candidate.place)

    def _cell(self, candidate: Candidate) -> Cell | None:
        recipe = self._recipe(candidate)
        if recipe is None:
            return None
        start: CellStart = recipe.start if recipe.policy is None else "policy"
        return Cell(
            candidate.name,
            candidate.levels,
            candidate.overrides,
            start,
            candidate.parent,
            candidate.status or self.study.status,
            recipe,
        )

    def _rows(self, name: Start) -> list[Cell]:
        """Return one row for each distinct starting point; most studies have one."""
        groups: dict[int, tuple[Recipe, list[Candidate]]] = {}
        shapes: dict[tuple[int, int, int], Recipe] = {}
        for candidate in self.design.candidates:
            recipe = self._recipe(candidate, name)
            if recipe is not None:
                parts = (id(recipe.model), id(recipe.sft), id(recipe.evaluation))
                recipe = shapes.setdefault(parts, recipe)
                groups.setdefault(id(recipe), (recipe, []))[1].append(candidate)
        if len(groups) > 1 and self.study.design in ("ladder", "cells"):
            first = next(iter(groups.values()))
            groups = {0: first}
        cells = []
        for recipe, candidates in groups.values():
            levels = _shared_levels(self.design.factors, candidates, single=len(groups) == 1)
            named = ", ".join(text for text in levels.values() if text != UNUSED)
            cells.append(
                Cell(
                    f"{name}, {named}" if len(groups) > 1 else name,
                    levels,
                    candidates[0].overrides,
                    name,
                    None,
                    self.study.status,
                    recipe,
                )
            )
        return cells

    def _check_equal(self, cells: Sequence[Cell]) -> None:
        """Report cells that compute the same; a comparison of them would show only noise."""
        places = {candidate.name: candidate.place for candidate in self.design.candidates}
        seen: dict[tuple[object, ...], Cell] = {}
        for cell in cells:
            recipe = cell.recipe
            key = (
                id(recipe.model),
                id(recipe.sft) if cell.start != "base" else None,
                id(recipe.preferences),
                id(recipe.reward_preferences),
                id(recipe.reward_model),
                id(recipe.policy),
                id(recipe.evaluation),
                cell.start,
            )
            first = seen.setdefault(key, cell)
            if first is not cell:
                found = f"the cells {first.name!r} and {cell.name!r} are the same"
                message = f"{found}: they train and evaluate alike. Remove or change one."
                self.problems.append(Problem(places.get(cell.name, ()), message))


def _label(factor: Factor, candidate: Candidate) -> str | None:
    return candidate.levels.get(factor.name)


def _shared_levels(
    factors: Sequence[Factor], candidates: Sequence[Candidate], *, single: bool
) -> dict[str, str]:
    """Return the labels on which all candidates agree where a starting point depends on them."""
    shared: dict[str, str] = {}
    for factor in factors:
        labels = {candidate.levels[factor.name] for candidate in candidates}
        shared[factor.name] = labels.pop() if len(labels) == 1 and not single else UNUSED
    return shared


def baseline_cells(study: Study, cells: Sequence[Cell]) -> dict[str, str]:
    """Return the name of the baseline of each cell; a cell without one is left out.

    A name holds for every cell. A mapping that names some factors pairs a cell with the one that
    has the baseline's levels of these and the cell's own levels of the others. Without a
    ``baseline`` it is the row ``sft``, the row ``base``, or the first cell.
    """
    names = [cell.name for cell in cells]
    wanted = study.baseline
    if isinstance(wanted, Mapping) and study.design == "grid":
        return _paired(study, cells)
    if not isinstance(wanted, str):
        centre = cells[len(names) - len(_trained(cells, study))].name
        rows = [row for row in ("sft", "base") if row in names]
        wanted = centre if study.design != "grid" or not rows else rows[0]
    return dict.fromkeys(names, wanted)


def _trained(cells: Sequence[Cell], study: Study) -> Sequence[Cell]:
    rows = [cell for cell in cells if cell.start != "policy" and cell.parent is None]
    named = [cell for cell in rows if cell.name.partition(",")[0] in study.rows]
    return cells[len(named) :]


def _paired(study: Study, cells: Sequence[Cell]) -> dict[str, str]:
    design = read_design(study)
    fixed: dict[str, str] = {}
    from ablate.spec.grid import find_level

    for factor in design.factors:
        if factor.name in study.baseline:
            level, _ = find_level(factor, study.baseline[factor.name], ("baseline",))
            fixed[factor.name] = cast(Level, level).label
    found: dict[str, str] = {}
    trained = _trained(cells, study)
    for cell in trained:
        target = {**cell.levels, **fixed}
        for other in trained:
            if all(text in (UNUSED, target[name]) for name, text in other.levels.items()):
                found[cell.name] = other.name
                break
    return found
