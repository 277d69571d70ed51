"""Cells of factors that change one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablate.spec.candidates import Candidate, Choice, Factor, find_level
from ablate.spec.factors import UNUSED, read_levels
from ablate.spec.messages import one_of
from ablate.spec.overrides import merged
from ablate.spec.problems import Place, Problem
from ablate.spec.study import Study
from ablate.spec.usage import uses


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
    choices: list[tuple[str, Factor | None, Choice]] = [(CENTRE, None, centre)]
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
