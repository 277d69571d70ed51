"""How a study chooses values before its results: the same number of trials for every arm.

Only the section's own shape; `ablate.spec.tune_checks` says what it means in a study.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from ablate.spec.config import Config
from ablate.spec.messages import field_problem, show

MAX_TRIALS = 1000
Sampler = Literal["random", "tpe", "qmc"]


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise field_problem(f"{show(value)} is not a finite number.")
    return value


Number = Annotated[int | float, BeforeValidator(_number)]


class Range(Config):
    """Numbers from ``low`` to ``high``, both included."""

    low: Number
    """Smallest value."""
    high: Number
    """Largest value."""
    log: bool = False
    """Whether factors matter and not differences, as for learning rates."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise field_problem(f"{self.high} is not above low, {self.low}. Change one.", "high")
        if self.log and self.low <= 0:
            raise field_problem(f"{self.low} has no logarithm; log needs numbers above 0.", "low")
        return self


Choices = tuple[Any, ...]
Domain = Range | Choices


def _domain(value: object) -> object:
    """Tell a range from choices, so that mistakes are told of the one that was meant."""
    if isinstance(value, Range):
        return value
    if isinstance(value, Mapping):
        return Range.model_validate(value)
    if isinstance(value, list | tuple):
        distinct = [item for index, item in enumerate(value) if item not in value[:index]]
        if len(distinct) < 2:
            raise field_problem("fewer than two values; nothing is searched. Write it under base.")
        if len(distinct) < len(value):
            raise field_problem("a value is listed twice, which makes it likelier. Keep one.")
        return tuple(value)
    raise field_problem(
        f"{show(value)} is neither a range such as {{low: 1e-6, high: 1e-4, log: true}} nor a list "
        "of values. Write one of the two."
    )


def _fields(value: object) -> object:
    if not isinstance(value, Mapping):
        raise field_problem(f"{show(value)} is not a mapping of fields to values.")
    return value


def _rungs(value: object) -> object:
    if not isinstance(value, list | tuple) or not value:
        found = "not a list of shorter trainings, the shortest first"
        raise field_problem(f"{found}, such as [{{policy.epochs: 1}}].")
    return value


_DOMAIN_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "array", "minItems": 2}, {"$ref": "#/$defs/Range"}]}
)
_OBJECT = WithJsonSchema({"type": "object"})
Fields = Annotated[dict[str, Any], BeforeValidator(_fields), _OBJECT]
Search = dict[str, Annotated[Domain, BeforeValidator(_domain), _DOMAIN_SCHEMA]]


class Prune(Config):
    """Successive halving in rungs: every arm has the same number of trials on every rung."""

    rungs: Annotated[
        tuple[Fields, ...],
        BeforeValidator(_rungs),
        WithJsonSchema({"type": "array", "minItems": 1, "items": {"type": "object"}}),
    ]
    """Shorter trainings before the full one, the shortest first: the fields that each changes,
    such as ``{policy.epochs: 1}`` or ``{ppo.steps: 8}``. Each is a training of its own with its own
    schedule, not the beginning of a longer one."""
    keep: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.5
    """Share of a round's trials that goes from a rung to the next, rounded down, one at least."""


def _not_empty(search: Search) -> Search:
    if not search:
        raise field_problem("nothing is searched. Name a field and its values.")
    return search


class Tune(Config):
    """Values that are chosen on the validation split, at the same budget for every trained cell."""

    trials: Annotated[int, Field(ge=1, le=MAX_TRIALS, strict=True)]
    """Trials of every arm. Failed and pruned ones count."""
    parallel: Annotated[int, Field(ge=1, le=MAX_TRIALS, strict=True)] = 4
    """Trials of a round: all of a round are asked for before any of its results is known, so what
    is tried depends on it and never on the machine."""
    objective: Annotated[str, Field(min_length=1)] = "average"
    """Metric of the evaluation on the validation split that is maximized, or minimized where lower
    is better."""
    sampler: Sampler = "random"
    """``random`` draws independently, which the uncertainty of the best-of-k curve rests on;
    ``tpe`` learns from earlier rounds; ``qmc`` spreads trials evenly."""
    startup: Annotated[int, Field(ge=1, strict=True)] = 5
    """Finished trials that ``tpe`` draws at random before it learns."""
    search: Annotated[Search, AfterValidator(_not_empty)]
    """What is searched: a range or a list of values by field. A field that a cell does not use
    drops out of its space, so that ``dpo.beta`` and ``simpo.beta`` stand side by side."""
    prune: Prune | None = None
    """Stop unpromising trials early; None trains each to its end."""
    seeds: Annotated[int, Field(ge=1, le=100, strict=True)] = 1
    """Seeds of a trial, the same for all trials, and none of those of the results. A trial's value
    is the mean over them."""
    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    """Seed of the sampler: another one gives other trials."""
    evaluation: Fields = {}
    """Fields of the evaluation of trials alone, such as ``limit`` or ``without``; the split is
    always validation."""
