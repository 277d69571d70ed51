"""The cells of a study: what is trained and evaluated, each with its resolved recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ablate.errors import SurroundingsError
from ablate.plan.trials import trial_problems
from ablate.spec.candidates import Candidate, Factor
from ablate.spec.contrast_checks import metric_problems
from ablate.spec.design import Design, read_design
from ablate.spec.evaluation import EvaluationConfig, ImportedConfig
from ablate.spec.factors import UNUSED
from ablate.spec.grid import name_prefix
from ablate.spec.imported import ImportedCell
from ablate.spec.load import LoadedStudy, study_error
from ablate.spec.messages import one_of, show
from ablate.spec.names import Files
from ablate.spec.problems import Place, Problem
from ablate.spec.recipes import Recipe, Start, UnresolvedError
from ablate.spec.registry import registry
from ablate.spec.resolve import Resolver
from ablate.spec.source import Source
from ablate.spec.study import Study
from ablate.spec.suite_sources import imported_configs
from ablate.spec.suites import TaskDefinition
from ablate.spec.usage import reaches_row

_ANY_MODEL = {"model": "tiny-instruct"}
"""Stands for the model of a study that trains and evaluates nothing."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One level of every factor, or a starting point that is only evaluated."""

    name: str
    """Unique in the study."""
    levels: Mapping[str, str]
    """Label by factor; a dash where the cell does not depend on the factor."""
    overrides: Mapping[str, object]
    """What the study sets, by dotted path."""
    start: Literal["policy", "base", "sft", "imported"]
    """What is evaluated: a trained policy, a starting point, or what something else evaluated."""
    parent: str | None
    """The rung before, or the rung that a branch leaves."""
    status: str | None
    """``preliminary`` or None."""
    recipe: Recipe
    """The resolved configuration of every stage; an imported cell has that of the study's first
    cell, whose suite its results are read by."""
    row: bool = False
    """Whether it stands beside the design, so that no level of a factor stands behind it."""
    results: tuple[ImportedConfig, ...] = ()
    """What an imported cell reads, one a seed."""
    arm: str | None = None
    """Name of the cell that is tuned by this one, a trial; None where it is no trial."""


def expand(study: LoadedStudy | Study) -> list[Cell]:
    """Return the rows and cells of a study, rows first, the rest in the order of the file.

    Raises StudyError with every problem, and SurroundingsError where the study is right but a
    model or data set that it names is not on this machine.
    """
    if isinstance(study, LoadedStudy):
        source, files, design, studied = study.source, study.files, study.design, study.study
    else:
        source, files, design, studied = Source(study.study), Files(), read_design(study), study
    if design.problems:
        raise study_error(source, design.problems)
    expansion = _Expansion(studied, design, files)
    cells = expansion.cells()
    problems = expansion.problems()
    wrong = [problem for problem in problems if not problem.surroundings]
    if wrong:
        raise study_error(source, wrong)
    if problems:
        raise SurroundingsError(str(study_error(source, problems)))
    return cells


class _Expansion:
    """Resolves every candidate once and keeps what goes wrong, by place."""

    def __init__(self, study: Study, design: Design, files: Files) -> None:
        self.study, self.design = study, design
        self.resolver = Resolver(files, study.match.budget if study.match else None)
        self._failures: dict[tuple[Place, str, str, bool], list[str]] = {}
        self._equal: list[Problem] = []

    def cells(self) -> list[Cell]:
        """Return rows and cells; those that cannot be resolved are missing."""
        cells = [cell for candidate in self.design.candidates if (cell := self._cell(candidate))]
        rows: list[Cell] = []
        if not self._failures:
            rows = [row for name in self.study.rows for row in self._rows(name)]
        if not self._failures:
            self._check_equal([*rows, *cells])
        every = [*rows, *cells]
        self._check_metrics(every[0].recipe.evaluation if every else None)
        if self.study.tune is not None and not self._failures:
            arms = [(cell.name, dict(cell.overrides)) for cell in cells if cell.start == "policy"]
            self._equal += trial_problems(self.study.tune, arms, self.resolver)
        return [*every, *self._imported(every)]

    def _check_metrics(self, evaluation: EvaluationConfig | None) -> None:
        """Keep what is wrong with the names of metrics; without cells rows are all there is."""
        tasks: Mapping[str, TaskDefinition] = {}
        if evaluation is not None:
            entry = registry().suites.get(evaluation.suite)
            tasks = entry.tasks if entry is not None else {}
            if evaluation.definition is not None:
                tasks = evaluation.definition.tasks
        elif self._failures:
            return
        self._equal += metric_problems(self.study, tasks)

    def _reading(self, cells: Sequence[Cell]) -> Recipe | None:
        """Return the recipe whose suite imported rows are read by; None where it cannot be made."""
        if cells or self._failures:
            return cells[0].recipe if cells else None
        base = replace(self._base(), overrides={**_ANY_MODEL, **self.design.base})
        return self._recipe(base, "base")

    def _base(self) -> Candidate:
        return Candidate("", {}, self.design.base, places=self.design.base_places)

    def _imported(self, cells: Sequence[Cell]) -> Iterator[Cell]:
        """Yield a row for everything that the study imports."""
        names = {cell.name for cell in cells}
        recipe = self._reading(cells) if self.study.imported else None
        if recipe is None:
            return
        for name, imported in self.study.imported.items():
            if imported.after is not None and imported.after not in self.study.imported:
                found = one_of(imported.after, self.study.imported)
                self._equal.append(Problem(("imported", name, "after"), found))
            elif self._goes_round(name):
                found = f"{show(imported.after)} comes after this row itself. Name an earlier one."
                self._equal.append(Problem(("imported", name, "after"), found))
            if name in names:
                found = f"{show(name)} is the name of a cell of the design. Choose another."
                self._equal.append(Problem(("imported", name), found, at_key=True))
            try:
                results = imported_configs(imported, recipe.evaluation, self.resolver.files)
            except UnresolvedError as error:
                key = (("imported", name), error.path, error.message, error.surroundings)
                self._failures.setdefault(key, []).append(name)
                continue
            if found := self._unusable(imported, results):
                self._equal.append(Problem(("imported", name), found))
                continue
            yield Cell(
                name=name,
                levels=self._levels_of(imported),
                overrides={},
                start="imported",
                parent=imported.after,
                status=imported.status or self.study.status,
                recipe=recipe,
                row=True,
                results=results,
            )

    def _goes_round(self, name: str) -> bool:
        """Whether the rows that a published row stands after lead back to it."""
        rows, seen, before = self.study.imported, set(), self.study.imported[name].after
        while before in rows and before not in seen:
            seen.add(before)
            before = rows[before].after
        return name in seen

    def _levels_of(self, imported: ImportedCell) -> dict[str, str]:
        """Return the labels of a row's levels: of the design's factors, and of its own."""
        own = (name for cell in self.study.imported.values() for name in cell.levels)
        factors = dict.fromkeys([*(factor.name for factor in self.design.factors), *own], UNUSED)
        return {**factors, **imported.levels}

    def _unusable(self, cell: ImportedCell, results: Sequence[ImportedConfig]) -> str:
        """Return what of an imported cell would be left out or counted twice; empty if nothing."""
        n = self.study.seeds.most
        if len(results) > n:
            return (
                f"{len(results)} files, one a seed, and the study has {n}. Set seeds: "
                f"{len(results)}, or name fewer files."
            )
        first: dict[str | None, str] = {}
        for result in results:
            if (same := first.setdefault(result.content, result.files)) != result.files:
                return f"{show(same)} and {show(result.files)} are equal; a seed is another run."
        if len(first) < len(results):
            return f"{show(results[0].files)} is named twice; a seed is another run. Remove one."
        definition = results[0].definition
        tasks = definition.tasks if definition is not None else {}
        unknown = [task for task in cell.names.values() if tasks and task not in tasks]
        return f"names: {one_of(unknown[0], tasks)}" if unknown else ""

    def problems(self) -> list[Problem]:
        """Return each distinct failure once, with the cells that it keeps from being planned."""
        found = list(self._equal)
        places = {candidate.place for candidate in self.design.candidates}
        for (place, path, message, surroundings), names in self._failures.items():
            if place in places or not place:
                others = f" and {len(names) - 1} more" if len(names) > 1 else ""
                message = f"cell {names[0]!r}{others}: {path}: {message}"
            found.append(Problem(place, message, surroundings=surroundings))
        return found

    def _recipe(self, candidate: Candidate, start: Start | None = None) -> Recipe | None:
        try:
            return self.resolver.recipe(candidate.overrides, start=start)
        except UnresolvedError as error:
            place = self._place(candidate, error.path)
            key = (place, error.path, error.message, error.surroundings)
            self._failures.setdefault(key, []).append(candidate.name or str(start))
            return None

    def _place(self, candidate: Candidate, path: str) -> Place:
        """Return where the override to blame stands, or else the cell."""
        places = _spellings(path, candidate)
        if places:
            return candidate.places[places[0]]
        for factor in self.design.factors:
            for level in factor.levels:
                if path in level.places and candidate.levels.get(factor.name) == level.label:
                    return level.places[path]
        return self.design.base_places.get(path, candidate.place)

    def _cell(self, candidate: Candidate) -> Cell | None:
        recipe = self._recipe(candidate)
        if recipe is None:
            return None
        return Cell(
            name=candidate.name,
            levels=candidate.levels,
            overrides=candidate.overrides,
            start=recipe.start if recipe.policy is None else "policy",
            parent=candidate.parent,
            status=candidate.status or self.study.status,
            recipe=recipe,
        )

    def _rows(self, name: Start) -> Iterator[Cell]:
        """Yield one row for each distinct starting point; most studies have one."""
        alike: dict[tuple[object, ...], list[Candidate]] = {}
        for candidate in self._row_candidates():
            key = tuple(item for item in candidate.overrides.items() if reaches_row(item[0]))
            alike.setdefault(key, []).append(candidate)
        groups: dict[tuple[int, ...], tuple[Recipe, list[Candidate]]] = {}
        for candidates in alike.values():
            recipe = self._recipe(candidates[0], name)
            if recipe is not None:
                parts = (id(recipe.model), id(recipe.sft), id(recipe.evaluation))
                groups.setdefault(parts, (recipe, []))[1].extend(candidates)
        for recipe, candidates in groups.values():
            levels = dict.fromkeys((factor.name for factor in self.design.factors), UNUSED)
            if len(groups) > 1:
                levels = _shared_levels(self.design.factors, candidates)
            named = [name_prefix(k) + text for k, text in levels.items() if text != UNUSED]
            yield Cell(
                name=", ".join([name, *named]),
                levels=levels,
                overrides=candidates[0].overrides,
                start=name,
                parent=None,
                status=self.study.status,
                recipe=recipe,
                row=True,
            )

    def _row_candidates(self) -> Sequence[Candidate]:
        """Return what rows start from: every cell of a grid, the base of named cells."""
        if self.study.design == "grid" or "model" not in self.design.base:
            return self.design.candidates
        return [self._base()]

    def _check_equal(self, cells: Sequence[Cell]) -> None:
        """Report cells that compute the same; a comparison of them would show only noise."""
        places = {candidate.name: candidate.place for candidate in self.design.candidates}
        seen: dict[tuple[object, ...], Cell] = {}
        for cell in cells:
            recipe = cell.recipe
            key = (
                *recipe.identity(),
                id(recipe.sft) if cell.start != "base" else None,
                id(recipe.evaluation),
                cell.start,
            )
            first = seen.setdefault(key, cell)
            if first is not cell:
                found = f"{cell.name!r} is the same as {first.name!r}: both train and evaluate"
                message = f"{found} alike. Remove or change one."
                place = places.get(cell.name, ())
                self._equal.append(Problem(place, message, at_key=len(place) > 1))


def _spellings(path: str, candidate: Candidate) -> list[str]:
    """Return the path, or the same field under ``policy``, where the candidate sets it."""
    name = path.partition(".")[2]
    return [known for known in (path, f"policy.{name}") if known in candidate.places]


def _shared_levels(factors: Sequence[Factor], candidates: Sequence[Candidate]) -> dict[str, str]:
    """Return the labels that candidates share, a dash where a starting point cannot depend."""
    shared = {}
    for factor in factors:
        labels = {candidate.levels[factor.name] for candidate in candidates}
        reached = any(reaches_row(path) for path in factor.paths)
        shared[factor.name] = labels.pop() if reached and len(labels) == 1 else UNUSED
    return shared
