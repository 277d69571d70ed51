"""Cells of a cross product, and of factors that change one at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.spec.candidates import Candidate, Factor
from ablate.spec.factors import UNUSED, Level, is_path_factor, one_level, read_levels
from ablate.spec.messages import one_of
from ablate.spec.overrides import merged
from ablate.spec.problems import Place, Problem
from ablate.spec.resolve import uses
from ablate.spec.study import Study

MAX_CELLS = 200_000
"""Largest grid: twice what the planner is tested at."""


@dataclass(frozen=True)
class _Axis:
    """Factors that vary together: one for a plain factor, several for a zipped group."""

    factors: tuple[Factor, ...]

    @property
    def steps(self) -> list[tuple[Level, ...]]:
        return list(zip(*(factor.levels for factor in self.factors), strict=True))


Choice = dict[str, Level]


def grid_candidates(
    study: Study, base: Candidate, problems: list[Problem]
) -> tuple[list[Factor], list[Candidate]]:
    """Return the factors and cells of a grid; appends to ``problems``."""
    axes = _axes(study, problems)
    factors = [factor for axis in axes for factor in axis.factors]
    count = math.prod(len(axis.steps) for axis in axes)
    if count > MAX_CELLS:
        found = f"{count:,} cells; at most {MAX_CELLS:,} are planned. Use fewer levels."
        problems.append(Problem(("grid",), found, at_key=True))
        return factors, []
    excluded = _Exclusion(study.exclude, factors, problems)
    chosen = [
        (choice, candidate)
        for choice, candidate in _combinations(axes, base)
        if not excluded.matches(choice)
    ]
    excluded.report(problems)
    if not chosen and count and study.exclude:
        found = "every cell is excluded. Remove an entry."
        problems.append(Problem(("exclude",), found, at_key=True))
    chosen += _included(study, factors, base, {_labels(choice) for choice, _ in chosen}, problems)
    _check_partial_baseline(study, factors, [choice for choice, _ in chosen], problems)
    return factors, _merge(factors, chosen)


def _axes(study: Study, problems: list[Problem]) -> list[_Axis]:
    axes: list[_Axis] = []
    seen: set[str] = set()

    def factor(name: str, value: object, place: Place) -> Factor:
        levels, wrong = read_levels(name, value, place)
        problems.extend(wrong)
        if name in seen:
            problems.append(Problem(place, "this factor is given twice. Keep one.", at_key=True))
        seen.add(name)
        paths = dict.fromkeys(path for level in levels for path in level.overrides)
        return Factor(name, tuple(paths), levels, place)

    for name, value in (study.grid or {}).items():
        axes.append(_Axis((factor(name, value, ("grid", name)),)))
    for index, group in enumerate(study.zip):
        members = [factor(name, value, ("zip", index, name)) for name, value in group.items()]
        lengths = {member.name: len(member.levels) for member in members}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            found = f"factors that vary together have unequal numbers of levels: {listed}."
            problems.append(Problem(("zip", index), f"{found} Make them equal."))
            shortest = min(lengths.values())
            members = [replace(m, levels=m.levels[:shortest]) for m in members]
        axes.append(_Axis(tuple(members)))
    return axes


def _combinations(axes: Sequence[_Axis], base: Candidate) -> Iterator[tuple[Choice, Candidate]]:
    """Yield every choice of levels, the last axis fastest, with its overrides merged."""
    design: Place = ("grid",)
    if not axes:
        yield {}, replace(base, place=design)
        return
    *before, last = axes
    steps = last.steps
    for choice, candidate in _combinations(before, base):
        for levels in steps:
            overrides = candidate.overrides
            picked = dict(choice)
            for factor, level in zip(last.factors, levels, strict=True):
                overrides = merged(overrides, level.overrides)
                picked[factor.name] = level
            yield picked, Candidate("", {}, overrides, place=design)


def _labels(choice: Choice) -> tuple[tuple[str, str], ...]:
    return tuple((name, level.label) for name, level in choice.items())


def find_level(factor: Factor, value: object, place: Place) -> tuple[Level | None, Problem | None]:
    """Return the level of a factor that ``value`` names, or what is wrong with it."""
    known = {level.label: level for level in factor.levels}
    if not is_path_factor(factor.name) or (isinstance(value, str) and value in known):
        found = known.get(str(value))
    else:
        found = known.get(one_level(factor.name, value, place)[0].label)
    return found, None if found else Problem(place, one_of(value, known))


class _Exclusion:
    """The exclude entries of a grid, and how many cells each has taken."""

    def __init__(
        self,
        entries: Sequence[Mapping[str, object]],
        factors: Sequence[Factor],
        problems: list[Problem],
    ) -> None:
        by_name = {factor.name: factor for factor in factors}
        self.rules: list[tuple[int, list[tuple[str, frozenset[str]]]]] = []
        self.taken: dict[int, int] = {}
        for index, entry in enumerate(entries):
            rule: list[tuple[str, frozenset[str]]] = []
            wrong: list[Problem] = []
            for name, value in entry.items():
                place: Place = ("exclude", index, name)
                if name not in by_name:
                    found = f"unknown factor; {one_of(name, by_name)}"
                    wrong.append(Problem(place, found, at_key=True))
                    continue
                values = value if isinstance(value, list | tuple) else [value]
                pairs = [find_level(by_name[name], item, place) for item in values]
                wrong.extend(problem for _, problem in pairs if problem)
                rule.append((name, frozenset(level.label for level, _ in pairs if level)))
            if not entry:
                found = "an empty entry matches every cell. Name factors and levels."
                wrong.append(Problem(("exclude", index), found))
            problems.extend(wrong)
            if not wrong:
                self.rules.append((index, rule))
                self.taken[index] = 0

    def matches(self, choice: Choice) -> bool:
        found = False
        for index, rule in self.rules:
            if all(choice[name].label in labels for name, labels in rule):
                self.taken[index] += 1
                found = True
        return found

    def report(self, problems: list[Problem]) -> None:
        for index, count in self.taken.items():
            if not count:
                found = "matches no cell; its levels are never combined. Remove it."
                problems.append(Problem(("exclude", index), found))


def _included(
    study: Study,
    factors: Sequence[Factor],
    base: Candidate,
    present: set[tuple[tuple[str, str], ...]],
    problems: list[Problem],
) -> list[tuple[Choice, Candidate]]:
    added: list[tuple[Choice, Candidate]] = []
    names = [factor.name for factor in factors]
    for index, entry in enumerate(study.include):
        place: Place = ("include", index)
        wrong = [
            Problem((*place, name), f"unknown factor; {one_of(name, names)}", at_key=True)
            for name in entry
            if name not in names
        ]
        if missing := [name for name in names if name not in entry]:
            found = f"no level of {', '.join(missing)}; an included cell has one of every factor."
            wrong.append(Problem(place, f"{found} Add it."))
        choice: Choice = {}
        overrides = base.overrides
        for factor in factors:
            if factor.name in entry:
                level, problem = _level_of(factor, entry[factor.name], (*place, factor.name))
                wrong.extend([problem] if problem else [])
                choice[factor.name] = level
                overrides = merged(overrides, level.overrides)
        problems.extend(wrong)
        if not wrong and _labels(choice) in present:
            problems.append(Problem(place, "the grid has this cell already. Remove it."))
        elif not wrong:
            present.add(_labels(choice))
            added.append((choice, Candidate("", {}, overrides, place=place)))
    return added


def _level_of(factor: Factor, value: object, place: Place) -> tuple[Level, Problem | None]:
    """Return the level that ``value`` names; a path's factor may get one that no list has."""
    level, problem = find_level(factor, value, place)
    if level is not None:
        return level, None
    new, wrong = one_level(factor.name, value, place)
    if is_path_factor(factor.name):
        return new, wrong[0] if wrong else None
    return new, problem


def _merge(
    factors: Sequence[Factor], chosen: Sequence[tuple[Choice, Candidate]]
) -> list[Candidate]:
    """Give cells their levels and names; cells equal but for unused factors become one."""
    unique: dict[tuple[str, ...], Candidate] = {}
    used: dict[tuple[object, ...], tuple[bool, ...]] = {}
    for choice, candidate in chosen:
        overrides = candidate.overrides
        shape = (
            overrides.get("algorithm"),
            overrides.get("prompts"),
            "reward_model.dataset" in overrides,
            "sft" in overrides,
        )
        if shape not in used:
            used[shape] = tuple(
                any(uses(overrides, path) for path in factor.paths) for factor in factors
            )
        labels = tuple(
            choice[factor.name].label if use else UNUSED
            for factor, use in zip(factors, used[shape], strict=True)
        )
        if labels not in unique:
            unique[labels] = candidate
    names = _cell_names(factors, list(unique))
    keys = [factor.name for factor in factors]
    return [
        replace(candidate, name=name, levels=dict(zip(keys, labels, strict=True)))
        for name, (labels, candidate) in zip(names, unique.items(), strict=True)
    ]


def _cell_names(factors: Sequence[Factor], labels: Sequence[tuple[str, ...]]) -> list[str]:
    """Return ``ai-fine, ppo, learning_rate=5e-7``; with every factor's name where that is not
    unique.
    """
    for full in (False, True):
        prefixes = [
            f"{factor.name if full else factor.name.rpartition('.')[2]}="
            if full or "." in factor.name
            else ""
            for factor in factors
        ]
        names = [
            ", ".join(p + text for p, text in zip(prefixes, row, strict=True) if text != UNUSED)
            or "all"
            for row in labels
        ]
        if len(set(names)) == len(names) and not {"base", "sft"} & set(names):
            break
    return names


def _check_partial_baseline(
    study: Study, factors: Sequence[Factor], choices: Sequence[Choice], problems: list[Problem]
) -> None:
    """Report names and levels of a baseline mapping that no cell has."""
    if not isinstance(study.baseline, Mapping):
        return
    by_name = {factor.name: factor for factor in factors}
    wanted: dict[str, str] = {}
    for name, value in study.baseline.items():
        place: Place = ("baseline", name)
        if name not in by_name:
            problems.append(Problem(place, f"unknown factor; {one_of(name, by_name)}", at_key=True))
            return
        level, problem = find_level(by_name[name], value, place)
        if level is None:
            problems.extend([problem] if problem else [])
            return
        wanted[name] = level.label
    if not wanted:
        problems.append(Problem(("baseline",), "names no factor. Name a level of at least one."))
    elif choices and not any(
        all(choice[name].label == text for name, text in wanted.items()) for choice in choices
    ):
        found = f"no cell has {', '.join(f'{n}: {t}' for n, t in wanted.items())}."
        problems.append(Problem(("baseline",), f"{found} Name levels that occur together."))


def one_at_a_time(
    study: Study, base: Candidate, problems: list[Problem]
) -> tuple[list[Factor], list[Candidate]]:
    """Return the factors, the centre and one cell for every other level of every factor."""
    factors: list[Factor] = []
    for name, value in (study.one_factor_at_a_time or {}).items():
        place: Place = ("one_factor_at_a_time", name)
        levels, wrong = read_levels(name, value, place)
        problems.extend(wrong)
        paths = dict.fromkeys(path for level in levels for path in level.overrides)
        factors.append(Factor(name, tuple(paths), levels, place))
    centre = {factor.name: factor.levels[0] for factor in factors if factor.levels}
    baseline = study.baseline if isinstance(study.baseline, Mapping) else {}
    for name, value in baseline.items():
        known = {factor.name: factor for factor in factors}
        if name not in known:
            found = f"unknown factor; {one_of(name, known)}"
            problems.append(Problem(("baseline", name), found, at_key=True))
            continue
        level, problem = find_level(known[name], value, ("baseline", name))
        if level is None:
            problems.extend([problem] if problem else [])
        else:
            centre[name] = level
    if len(centre) < len(factors):
        return factors, []
    return factors, _around(factors, centre, base)


CENTRE = "baseline"
"""Name of the cell that one factor at a time departs from."""


def _around(factors: Sequence[Factor], centre: Choice, base: Candidate) -> list[Candidate]:
    choices = [(CENTRE, None, centre)]
    for factor in factors:
        for level in factor.levels:
            if level.label != centre[factor.name].label:
                name = f"{factor.name}={level.label}"
                choices.append((name, factor, centre | {factor.name: level}))
    cells: list[Candidate] = []
    for name, changed, choice in choices:
        overrides = base.overrides
        for level in choice.values():
            overrides = merged(overrides, level.overrides)
        levels = {
            factor.name: choice[factor.name].label
            if any(uses(overrides, path) for path in factor.paths)
            else UNUSED
            for factor in factors
        }
        place = choice[changed.name].place if changed else ("one_factor_at_a_time",)
        cells.append(
            Candidate(name, levels, overrides, parent=CENTRE if changed else None, place=place)
        )
    return cells
