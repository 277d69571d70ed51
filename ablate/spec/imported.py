"""Rows of a study whose results something else evaluated, or somebody published."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ablate.spec.config import Config
from ablate.spec.evaluation import ImportFormat
from ablate.spec.messages import field_problem

AVERAGE = "average"


def _files(value: object) -> object:
    return (
        (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    )


def _no_switch(value: object) -> object:
    """Refuse true and false, which would count as 1 and 0."""
    if isinstance(value, bool):
        raise PydanticCustomError("float_type", "not a number")
    return value


_Number = BeforeValidator(_no_switch)
Percent = Annotated[float, Field(ge=0, le=100), _Number]


class ImportedCell(Config):
    """A row whose results something else evaluated: by sample in files, or numbers of a paper."""

    files: Annotated[
        tuple[str, ...],
        BeforeValidator(_files),
        WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}}),
    ] = ()
    """A file or folder of results by sample, or a list of them, one a seed."""
    format: ImportFormat | None = None
    """What they are: ``lm-eval`` samples, ``alpaca-eval`` annotations or a ``table``; recognized by
    their content where it is left out."""
    model: str | None = None
    """Whose outputs, where the files have those of several models."""
    names: dict[str, str] = {}
    """The suite's task by what the files call it, ``*`` for any characters, such as
    ``{mmlu_*: mmlu}``; several of the files' tasks under one name are its subsets."""
    source: str = ""
    """Where published numbers are from, such as a paper and its table."""
    scores: dict[str, Percent | None] = {}
    """Published scores in percent by category, and ``average``; null where none is printed. The
    average is computed again from the categories where all of them are numbers."""
    tasks: dict[str, Percent | None] = {}
    """Published scores in percent of single benchmarks; no part of the average."""
    errors: dict[str, Annotated[PositiveFloat, _Number]] = {}
    """Standard errors of published numbers in points, where they are known or can be reckoned from
    the number of items. Without one a number has no interval."""
    levels: dict[str, str] = {}
    """Level of each factor that the row stands for: ``{dataset: Nectar, algorithm: dpo}``."""
    after: str | None = None
    """Row that this one adds one change to; rows in a chain are drawn step by step."""
    group: str = ""
    """Heading that the row stands under."""
    preferences: PositiveInt | None = None
    """Preference pairs behind the row."""
    status: Literal["preliminary"] | None = None
    """``preliminary`` puts a footnote under its numbers."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        published = bool(self.scores or self.tasks)
        if bool(self.files) == published:
            found = "files and published scores" if published else "neither files nor scores"
            raise field_problem(f"{found}; one of the two is needed. Keep or add one.")
        if published and not self.source:
            found = "published scores without a source. Add source: the paper and its table."
            raise field_problem(found)
        if self.errors and not published:
            raise field_problem("belongs to published scores. Remove it.", "errors")
        twice = [name for name in self.tasks if name in self.scores]
        if twice:
            found = f"{twice[0]!r} is among the scores too. Keep one, or rename it."
            raise field_problem(found, "tasks")
        unknown = [name for name in self.errors if name not in {**self.scores, **self.tasks}]
        if unknown:
            found = f"{unknown[0]!r} has no score beside it. Correct the name."
            raise field_problem(found, "errors")
        return self
