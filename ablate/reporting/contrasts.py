"""Which cells a study compares: declared by its design, never picked by the results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from ablate.reporting.records import StudyRecord
from ablate.spec.analysis import Expected
from ablate.spec.usage import uses

SIZES = ("small", "medium", "large", "full")
ALGORITHM = "algorithm"
_SIZE_FACTORS = ("reward_model", "reward_model.size", "reward_model.layers")
"""Factors whose levels are sizes; an objective or a number of members is none."""


@dataclass(frozen=True)
class Family:
    """Comparisons that answer one question; corrections are made within one."""

    name: str
    """``baseline``, ``step``, ``algorithm``, ``reward_model``, or ``declared-1`` and so on."""
    title: str
    declared: bool = True
    """Whether the study declared it before the results; the rest is exploratory."""
    question: str = ""
    expectation: str = ""
    expect: Expected | tuple[float, float] | None = None
    """A verdict, or a range of the primary metric's difference."""


@dataclass(frozen=True)
class Contrast:
    """``treatment - control``; contrasts of one kind are one family of comparisons."""

    kind: str
    """Name of its family."""
    treatment: str
    control: str
    label: str
    declared: bool = True


_DESIGN: Mapping[str, Family] = {
    "baseline": Family("baseline", "Effects against the baseline"),
    "steps": Family("step", "Effect of each step"),
    "algorithms": Family("algorithm", "PPO − DPO"),
    "reward_models": Family("reward_model", "Effect of a larger reward model"),
}
"""Families that follow from a design, by the name that `analysis.contrasts` gives them."""


def families_of(study: StudyRecord) -> tuple[Family, ...]:
    """Return every family, those that the study declares first."""
    said = study.analysis.contrasts
    if said is None:
        return tuple(_DESIGN.values())
    declared = []
    for number, entry in enumerate(said, 1):
        if isinstance(entry, str):
            declared.append(_DESIGN[entry])
            continue
        title = entry.name or f"{entry.treatment} − {entry.control}"
        declared.append(
            Family(
                *(f"declared-{number}", title, True),
                *(entry.question, entry.expectation, entry.expect),
            )
        )
    rest = (replace(f, declared=False) for name, f in _DESIGN.items() if name not in said)
    return (*declared, *rest)


def contrasts_of(study: StudyRecord) -> tuple[Contrast, ...]:
    """Return every comparison: what the design implies, and what the study declares by itself."""
    declared = {family.name: family.declared for family in families_of(study)}
    found = [
        *_against_baseline(study),
        *_steps(study),
        *_algorithms(study),
        *_reward_models(study),
        *_declared(study),
    ]
    return tuple(dict.fromkeys(replace(c, declared=declared[c.kind]) for c in found))


def _declared(study: StudyRecord) -> Iterator[Contrast]:
    for number, entry in enumerate(study.analysis.contrasts or (), 1):
        if isinstance(entry, str):
            continue
        kind = f"declared-{number}"
        if not entry.factor:
            label = f"{entry.treatment} − {entry.control}"
            yield Contrast(kind, entry.treatment, entry.control, label)
            continue
        for one, other in pairs_by(study, entry.factor, entry.treatment, entry.control):
            rest = " · ".join(_without(study, one, entry.factor).values())
            yield Contrast(kind, one, other, rest or f"{one} − {other}")


def pairs_by(
    study: StudyRecord, factor: str, treatment: str, control: str
) -> Iterator[tuple[str, str]]:
    """Yield cells (treatment, control) that have these levels and agree in every other factor.

    A factor that only one of two cells uses, such as a reward model under PPO, is no difference.
    """
    for one in study.cells:
        for other in study.cells:
            left, right = study.levels_of(one), study.levels_of(other)
            if (left.get(factor), right.get(factor)) != (treatment, control):
                continue
            shared = (left.keys() & right.keys()) - {factor}
            if all(left[name] == right[name] for name in shared):
                yield one, other


def baseline_cell(study: StudyRecord) -> str | None:
    """Return the cell that heads the tables; None where the baseline names only some factors."""
    if isinstance(study.baseline, str):
        return study.baseline if study.baseline in study.cells else None
    if study.baseline is None:
        return study.cells[0] if study.cells else None
    return None


def _against_baseline(study: StudyRecord) -> Iterator[Contrast]:
    whole = baseline_cell(study)
    if whole is not None:
        for cell in study.cells:
            if cell != whole:
                yield Contrast("baseline", cell, whole, cell)
    elif isinstance(study.baseline, Mapping):
        for cell, control in study.baseline.items():
            if control != cell:
                yield Contrast("baseline", cell, control, f"{cell} vs {control}")


def _steps(study: StudyRecord) -> Iterator[Contrast]:
    for before, after in pairwise(study.rungs):
        yield Contrast("step", after, before, after)
    for branch in study.branches:
        origin = study.parent_of(branch)
        if origin is not None and origin in study.cells:
            yield Contrast("step", branch, origin, f"{branch} (branch off {origin})")


def _algorithms(study: StudyRecord) -> Iterator[Contrast]:
    """PPO minus DPO where the cells differ in the algorithm only.

    A factor that one algorithm does not use (a reward model under DPO) is no difference. On a
    ladder, where levels add up, it is the rung that switches the algorithm. A cell of an explicit
    list names what differs from the base, so what only one cell names is a difference wherever the
    other's algorithm has the field: DPO with an adapter is no partner of PPO without one.
    """
    for dpo in _with_level(study, "dpo"):
        for ppo in _with_level(study, "ppo"):
            if study.design == "ladder" and study.parent_of(ppo) != dpo:
                continue
            left, right = _without(study, dpo), _without(study, ppo)
            if any(left[name] != right[name] for name in left.keys() & right.keys()):
                continue
            label = " · ".join({**left, **right}.values()) or ppo
            if study.design == "cells":
                if _used(left.keys() - right.keys(), "ppo") or _used(
                    right.keys() - left.keys(), "dpo"
                ):
                    continue
                label = f"{dpo}, {ppo}"
            yield Contrast("algorithm", ppo, dpo, label)


def _used(factors: Iterable[str], algorithm: str) -> bool:
    return any(uses({ALGORITHM: algorithm}, factor) for factor in factors)


def _with_level(study: StudyRecord, algorithm: str) -> Iterator[str]:
    for cell in study.cells:
        if study.levels_of(cell).get(ALGORITHM, "").lower() == algorithm:
            yield cell


def _without(study: StudyRecord, cell: str, factor: str = ALGORITHM) -> dict[str, str]:
    return {name: level for name, level in study.levels_of(cell).items() if name != factor}


def _reward_models(study: StudyRecord) -> Iterator[Contrast]:
    """Each size of reward model against the next smaller one, everything else equal."""
    for factor in (name for name in study.factors if name in _SIZE_FACTORS):
        groups: dict[frozenset[tuple[str, str]], list[str]] = {}
        for cell in study.cells:
            if factor in study.levels_of(cell):
                key = frozenset(_without(study, cell, factor).items())
                groups.setdefault(key, []).append(cell)
        for cells in groups.values():
            yield from _ordered_pairs(study, factor, cells)


def _ordered_pairs(study: StudyRecord, factor: str, cells: Iterable[str]) -> Iterator[Contrast]:
    def size(cell: str) -> int:
        level = study.levels_of(cell)[factor]
        if level.isdecimal():
            return int(level)
        return SIZES.index(level) if level in SIZES else -1

    for small, large in pairwise(sorted(cells, key=size)):
        left, right = study.levels_of(small)[factor], study.levels_of(large)[factor]
        rest = " · ".join(_without(study, large, factor).values())
        yield Contrast("reward_model", large, small, f"{rest}: {left} → {right}".lstrip(": "))
