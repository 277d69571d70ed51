"""Cells of a cross product."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ablate.spec.candidates import Candidate, Choice, Factor, choice_labels
from ablate.spec.factors import UNUSED, Level, is_path_factor, read_levels
from ablate.spec.grid_rules import Exclusion, check_partial_baseline, included
from ablate.spec.overrides import merged
from ablate.spec.problems import Place, Problem
from ablate.spec.study import Study
from ablate.spec.usage import scorers_of, uses

MAX_CELLS = 200_000
"""Largest grid: twice what the planner is tested at."""


@dataclass(frozen=True)
class _Axis:
    """Factors that vary together: one for a plain factor, several for a zipped group."""

    factors: tuple[Factor, ...]

    @property
    def steps(self) -> list[tuple[Level, ...]]:
        return list(zip(*(factor.levels for factor in self.factors), strict=True))


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
    excluded = Exclusion(study.exclude, factors, problems)
    chosen = [
        (choice, candidate)
        for choice, candidate in _combinations(axes, base)
        if not excluded.matches(choice)
    ]
    excluded.report(problems)
    if not chosen and count and study.exclude:
        found = "every cell is excluded. Remove an entry."
        problems.append(Problem(("exclude",), found, at_key=True))
    present = {choice_labels(choice) for choice, _ in chosen} if study.include else set()
    chosen += included(study.include, factors, base, present, problems)
    check_partial_baseline(study, factors, [choice for choice, _ in chosen], problems)
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
            overrides.get("labels.generations"),
            overrides.get("labels.reward"),
            scorers_of(overrides),
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
        Candidate(
            name,
            dict(zip(keys, labels, strict=True)),
            candidate.overrides,
            place=candidate.place,
        )
        for name, (labels, candidate) in zip(names, unique.items(), strict=True)
    ]


_UNPREFIXED = ("dataset", "algorithm", "model", "preset")
"""Factors whose levels say by themselves what they are."""


def _cell_names(factors: Sequence[Factor], labels: Sequence[tuple[str, ...]]) -> list[str]:
    """Return names such as ``ai-fine, ppo, kl_coef=0.1``, longer ones where two are alike."""
    for full in (False, True):
        prefixes = [name_prefix(factor.name, full=full) for factor in factors]
        names = [
            ", ".join(p + text for p, text in zip(prefixes, row, strict=True) if text != UNUSED)
            or "all"
            for row in labels
        ]
        if len(set(names)) == len(names) and not {"base", "sft"} & set(names):
            break
    return names


def name_prefix(name: str, *, full: bool = False) -> str:
    """Return what stands before a factor's level in a cell's name: ``kl_coef=``, or nothing."""
    if full:
        return f"{name}="
    if name in _UNPREFIXED or not is_path_factor(name):
        return ""
    return "reward_model=" if name == "reward_model.size" else f"{name.rpartition('.')[2]}="
