"""The schema of a study file.

Only its own shape: what a factor's levels and the overrides of a cell may say is checked by
`ablate.spec.overrides`, and what they mean together by `ablate.spec.design`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from ablate.spec.analysis import Analysis
from ablate.spec.config import Config
from ablate.spec.imported import ImportedCell
from ablate.spec.messages import field_problem, show
from ablate.spec.policies import Budget, BudgetUnit
from ablate.spec.seeding import Seeds, seeds_given
from ablate.spec.tune import Tune

DESIGNS = ("grid", "ladder", "one_factor_at_a_time", "cells")
_BELONGS_TO = {"zip": "grid", "include": "grid", "exclude": "grid", "branches": "ladder"}
RowName = Literal["base", "sft"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _study_name(value: object) -> object:
    if isinstance(value, str) and not _NAME.fullmatch(value):
        allowed = "1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit"
        found = f"{show(value)} cannot name a folder; allowed are {allowed}. Rename it."
        raise field_problem(found)
    return value


def _overrides(value: object) -> object:
    """Accept a mapping; an empty value, as after ``SFT:``, is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise field_problem(
            f"{show(value)} is not a mapping of fields to values, such as {{policy.beta: 0.1}}."
        )
    return value


def _factor(value: object) -> object:
    """Accept a list of values, or a mapping of level names to overrides."""
    if not isinstance(value, list | tuple | Mapping):
        raise field_problem(
            f"{show(value)} is not a list of levels, nor a mapping of level names to fields. "
            f"Write [{value}]."
        )
    if not value:
        found = "no levels; a factor needs at least one. Add levels or remove the factor."
        raise field_problem(found)
    return value


def _groups(value: object) -> object:
    return [value] if isinstance(value, Mapping) else value


def _baseline(value: object) -> object:
    if value is None or isinstance(value, str | Mapping):
        return value
    raise field_problem(
        f"{show(value)} is neither a cell's name nor a mapping of factors to levels. "
        "Write one of the two."
    )


def _rung(value: object) -> object:
    if not isinstance(value, Mapping) or len(value) != 1:
        raise field_problem(
            f"{show(value)} is not a rung; a rung is one name and its change, "
            "such as `- + better data: {dataset: ai-fine}`."
        )
    return value


_OBJECT = WithJsonSchema({"type": ["object", "null"]})
Overrides = Annotated[dict[str, Any], BeforeValidator(_overrides), _OBJECT]
Factor = Annotated[
    Any,
    BeforeValidator(_factor),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "minItems": 1},
                {"type": "object", "additionalProperties": {"type": ["object", "null"]}},
            ]
        }
    ),
]
Factors = Annotated[dict[str, Factor], Field(min_length=1)]
Rung = Annotated[dict[str, Overrides], BeforeValidator(_rung)]


class Match(Config):
    """What every arm may spend: one budget for all, so that they are compared at equal cost."""

    preferences: Annotated[int, Field(ge=1, strict=True)] | None = None
    """Preference labels: pairs of a data set, and gold labels bought while training."""
    generated_tokens: Annotated[int, Field(ge=1, strict=True)] | None = None
    """Tokens sampled while training."""
    reward_calls: Annotated[int, Field(ge=1, strict=True)] | None = None
    """Completions scored while training."""
    seconds: Annotated[float, Field(gt=0)] | None = None
    """Wall seconds of the policy stage. What fits in them depends on the machine."""

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            found = f"{', '.join(given)} are given" if given else "nothing is given"
            allowed = ", ".join(type(self).model_fields)
            raise field_problem(f"{found}; one of {allowed} is needed. Keep one.")
        return self

    @property
    def budget(self) -> Budget:
        """Return the one budget that is given."""
        name = next(name for name in type(self).model_fields if getattr(self, name) is not None)
        return Budget(unit=cast(BudgetUnit, name), amount=float(getattr(self, name)))


class Study(Config):
    """One question and one design."""

    study: Annotated[str, BeforeValidator(_study_name)]
    """Name of the study; its folder and its MLflow experiment are called so."""
    question: str = ""
    """What the study asks."""
    expectation: str = ""
    """What you expect; the report prints it beside what was observed."""
    status: Literal["preliminary"] | None = None
    """``preliminary`` puts a footnote under every number of the study."""
    datasets: dict[str, Overrides] = {}
    """Data sets of the study's own by name: a file with its columns, a slice, a mixture."""
    base: Overrides = {}
    """Fields that every cell starts from."""
    rows: tuple[RowName, ...] = ()
    """Starting points that are evaluated as rows of the table."""
    baseline: Annotated[
        Any, BeforeValidator(_baseline), WithJsonSchema({"type": ["string", "object", "null"]})
    ] = None
    """What effects are measured against: a cell's or row's name, or levels of some factors, so
    that effects pair within equal levels of the others."""
    seeds: Annotated[
        Seeds,
        BeforeValidator(seeds_given),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "object"}]}),
    ] = Seeds()
    """Number of seeds, or ``{n, vary}``, or looks at a growing number, ``{looks: [3, 5, 8]}``."""
    grid: Factors | None = None
    """The cross product of factors."""
    zip: Annotated[tuple[Factors, ...], BeforeValidator(_groups)] = ()
    """Factors of the grid that vary together: lists of equal length, taken pairwise."""
    include: tuple[dict[str, Any], ...] = ()
    """Cells added to the grid: a level of every factor."""
    exclude: tuple[dict[str, Any], ...] = ()
    """Cells taken out of the grid: those that have all the named levels."""
    ladder: Annotated[tuple[Rung, ...], Field(min_length=1)] | None = None
    """Rungs, each the rung before it plus one change."""
    branches: dict[str, Overrides] = {}
    """Side arms of a ladder: ``from`` names the rung, the rest is the change."""
    one_factor_at_a_time: Factors | None = None
    """Factors that change alone, from the baseline's levels or else each factor's first."""
    cells: Annotated[dict[str, Overrides], Field(min_length=1)] | None = None
    """Explicit cells: name and fields."""
    imported: dict[str, ImportedCell] = {}
    """Rows whose results come from files or from a publication, by name."""
    notes: dict[str, str] = {}
    """A sentence by cell or row that the report prints beside it."""
    match: Match | None = None
    """What every arm may spend, such as ``{preferences: 60000}``; equalizes the arms on it."""
    tune: Tune | None = None
    """What is chosen on the validation split before the results, at equal budgets."""
    analysis: Analysis = Analysis()
    """What is tested."""

    @model_validator(mode="after")
    def _one_design(self) -> Self:
        given = [name for name in DESIGNS if getattr(self, name) is not None]
        if not given and not self.imported:
            allowed = f"{', '.join(DESIGNS)}, or rows under imported"
            raise field_problem(f"no design; a study has one of {allowed}. Add one.")
        if len(given) > 1:
            found = f"a second design beside {given[0]}; a study has one. Keep one."
            raise field_problem(found, given[1])
        for name, design in _BELONGS_TO.items():
            if getattr(self, name) and given != [design]:
                there = repr(given[0]) if given else "imported rows alone"
                found = f"belongs to {design!r}; this study has {there}. Remove it."
                raise field_problem(found, name)
        return self

    @model_validator(mode="after")
    def _looks_fit(self) -> Self:
        if not self.seeds.looks:
            return self
        if self.analysis.claim == "checkpoints":
            found = "verdicts about checkpoints do not gain from further seeds. Remove looks, or"
            raise field_problem(f"{found} claim recipes.", "seeds")
        if self.analysis.correction == "max-t":
            found = "correction 'max-t' is for comparisons with equal seeds, and with seeds.looks"
            allowed = "they end at different ones; allowed are holm, bh, none. Write holm."
            raise field_problem(f"{found} {allowed}", "analysis")
        return self

    @property
    def declared(self) -> dict[str, Any]:
        """What must be said before the results are seen: the analysis, and when it looks."""
        looks = {"looks": list(self.seeds.looks), "spend": self.seeds.spend}
        return {**self.analysis.model_dump(mode="json"), **looks}

    @property
    def design(self) -> str:
        """Name of the one design that is given; imported rows alone are cells."""
        return next((name for name in DESIGNS if getattr(self, name) is not None), "cells")
