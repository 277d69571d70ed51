"""What a study says about a grid's cells: exclude, include, and a baseline of some factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablate.spec.candidates import Candidate, Choice, Factor, choice_labels, find_level
from ablate.spec.factors import Level, is_path_factor, one_level
from ablate.spec.messages import one_of
from ablate.spec.overrides import merged
from ablate.spec.problems import Place, Problem
from ablate.spec.study import Study


class Exclusion:
    """The exclude entries of a grid, and how many cells each has taken."""

    def __init__(
        self,
        entries: Sequence[Mapping[str, object]],
        factors: Sequence[Factor],
        problems: list[Problem],
    ) -> None:
        """Read the entries; wrong ones go to ``problems`` and match nothing."""
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
        """Return whether an entry takes this cell out, and count it."""
        found = False
        for index, rule in self.rules:
            if all(choice[name].label in labels for name, labels in rule):
                self.taken[index] += 1
                found = True
        return found

    def report(self, problems: list[Problem]) -> None:
        """Report entries that have matched nothing."""
        for index, count in self.taken.items():
            if not count:
                found = "matches no cell; its levels are never combined. Remove it."
                problems.append(Problem(("exclude", index), found))


def included(
    entries: Sequence[Mapping[str, object]],
    factors: Sequence[Factor],
    base: Candidate,
    present: set[tuple[tuple[str, str], ...]],
    problems: list[Problem],
) -> list[tuple[Choice, Candidate]]:
    """Return the cells that ``include`` adds to those ``present``."""
    added: list[tuple[Choice, Candidate]] = []
    names = [factor.name for factor in factors]
    for index, entry in enumerate(entries):
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
        if not wrong and choice_labels(choice) in present:
            problems.append(Problem(place, "the grid has this cell already. Remove it."))
        elif not wrong:
            present.add(choice_labels(choice))
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


def check_partial_baseline(
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
