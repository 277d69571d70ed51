"""What a study tests and how, declared before its results are seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ablate.spec.config import Config
from ablate.spec.messages import field_problem, one_of, show

Family = Literal["baseline", "steps", "algorithms", "reward_models"]
"""Comparisons that follow from a design: every cell with the baseline, every rung with the one
before it, PPO with DPO, every size of reward model with the next smaller one."""
Expected = Literal["better", "worse", "no difference"]
Points = Annotated[float, Field(gt=0, strict=True)]


def _expected(value: object) -> object:
    """Take a verdict's name or a pair of numbers, so that one message tells of both."""
    if value is None or value in get_args(Expected):
        return value
    if isinstance(value, list | tuple) and len(value) == 2:
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
            return tuple(value)
    named = ", ".join(map(repr, get_args(Expected)))
    raise field_problem(
        f"{show(value)} is neither one of {named} nor two numbers [low, high]. Write one of these."
    )


class DeclaredContrast(Config):
    """Cells that a study compares: two by name, or all pairs that differ in one factor only."""

    name: str = ""
    """Heading in the report."""
    question: str = ""
    """What it answers."""
    factor: str = ""
    """Factor whose levels are compared within equal levels of the others; empty compares two
    cells."""
    treatment: Annotated[str, Field(min_length=1)]
    """Level of the factor, or name of a cell."""
    control: Annotated[str, Field(min_length=1)]
    """What it is measured against."""
    expect: Annotated[Expected | tuple[float, float] | None, BeforeValidator(_expected)] = None
    """What you expect of ``treatment - control``: a verdict, or a range in the primary metric's
    unit such as ``[0, 2]``."""
    expectation: str = ""
    """The same in words."""

    @model_validator(mode="after")
    def _different(self) -> Self:
        if self.treatment == self.control:
            found = f"{self.treatment!r} is compared with itself; name two."
            raise field_problem(found, "control")
        if isinstance(self.expect, tuple) and self.expect[0] > self.expect[1]:
            raise field_problem("low comes after high; write [low, high].", "expect")
        return self


def _entry(value: object) -> object:
    """Tell a family's name from a mapping, so that mistakes are told of the one that was meant."""
    if isinstance(value, str):
        if value not in get_args(Family):
            raise field_problem(one_of(value, get_args(Family)))
        return value
    if isinstance(value, Mapping):
        return DeclaredContrast.model_validate(value)
    if isinstance(value, DeclaredContrast):
        return value
    families = ", ".join(get_args(Family))
    raise field_problem(
        f"{show(value)} is neither a family ({families}) nor a mapping such as "
        "{treatment: CELL, control: CELL}. Write one of the two."
    )


def _distinct(entries: tuple[Family | DeclaredContrast, ...]) -> object:
    twice = [entry for index, entry in enumerate(entries) if entry in entries[:index]]
    if twice:
        first = twice[0]
        pair = "" if isinstance(first, str) else f"{first.treatment} - {first.control}"
        name = first if isinstance(first, str) else first.name or pair
        raise field_problem(f"{show(name)} is listed twice. Keep one.")
    return entries


Entry = Annotated[Family | DeclaredContrast, BeforeValidator(_entry)]


class Analysis(Config):
    """What is tested, declared before the results are seen."""

    primary: Annotated[str, Field(min_length=1)] = "average"
    """Metric of the verdicts, as the suite names it."""
    margin: Points = 1.0
    """Smallest effect of interest in the primary metric and in every percentage, in points."""
    margins: dict[str, Points] = {}
    """The same for single metrics, in their own units, such as ``{gsm8k: 2, gold: 0.05}``."""
    alpha: Annotated[float, Field(gt=0, lt=0.5, strict=True)] = 0.05
    """Two-sided error rate of the verdicts; the intervals that are shown are always 95 %."""
    correction: Literal["holm", "bh", "max-t", "none"] = "holm"
    """Correction over each family of comparisons: Holm, Benjamini-Hochberg, the bootstrap
    distribution of the largest t of the family, or none."""
    contrasts: Annotated[tuple[Entry, ...], AfterValidator(_distinct)] | None = None
    """Comparisons that are confirmatory: families that follow from the design, cells by name, or
    levels of a factor. Left out: all that follow from the design. Whatever else the report compares
    is exploratory and marked."""
    seeds: Literal["independent", "matched"] = "independent"
    """``matched`` where one seed is one physical thing in both cells of a pair, such as an order of
    the same data: the pairing then enters the intervals."""
    claim: Literal["recipes", "checkpoints"] = "recipes"
    """What verdicts speak about. ``checkpoints`` lets one seed a cell suffice, and holds for these
    trained models only."""
    seed_sd: Points | None = None
    """SD of the primary metric over training seeds that is known from elsewhere, in its unit, for
    cells with one seed. Left out: estimated from the cells with several, where there are any."""
