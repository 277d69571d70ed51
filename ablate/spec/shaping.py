"""What a study says about the rows of a data set: where they come from and which are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ablate.spec.config import Config, added_later, not_identity
from ablate.spec.messages import one_of

Part = Literal["prompt", "reply"]
BadRows = Literal["refuse", "skip"]
"""What a row does that cannot be read: end the job, or be left out, counted and named."""


class RefusalFilter(Config):
    """Drops rows whose reply speaks as a language model, such as ``as a language model``."""

    kind: Literal["refusals"] = "refusals"
    """Tells this filter from the others."""
    phrases: tuple[str, ...] = ()
    """Phrases looked for instead of the built-in list, whatever their case and spacing."""
    replies: Literal["chosen", "any"] = "chosen"
    """Of a pair, whether the chosen reply alone is looked at, or either."""


class TruecaseFilter(Config):
    """Gives replies in lower case their capitals back (as for Zephyr, arXiv:2310.16944)."""

    kind: Literal["truecase"] = "truecase"
    """Tells this filter from the others."""


class LengthFilter(Config):
    """Drops rows with a prompt or a reply outside the bounds."""

    kind: Literal["length"] = "length"
    """Tells this filter from the others."""
    of: Part = "reply"
    """What is measured; each reply of a row has to fit."""
    unit: Literal["words", "characters"] = "words"
    """What is counted."""
    min: NonNegativeInt = 0
    """Shortest that is kept."""
    max: PositiveInt | None = None
    """Longest that is kept; None sets no bound."""

    @model_validator(mode="after")
    def _some_length_fits(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise _wrong(f"min {self.min} is above max {self.max}, so no row fits. Change one.")
        return self


class DuplicateFilter(Config):
    """Keeps the first of rows that are equal up to case and spacing."""

    kind: Literal["duplicates"] = "duplicates"
    """Tells this filter from the others."""
    of: Literal["prompt", "row"] = "row"
    """Whether equal prompts are enough."""


class NearDuplicateFilter(Config):
    """Keeps the first of rows whose texts are nearly equal, in any language."""

    kind: Literal["near_duplicates"] = "near_duplicates"
    """Tells this filter from the others."""
    of: Literal["prompt", "row"] = "prompt"
    """What is compared."""
    similarity: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Jaccard similarity of the texts' character 5-grams from which two are near duplicates."""


class TieFilter(Config):
    """Drops pairs whose replies' scores are no further apart than ``gap``."""

    kind: Literal["ties"] = "ties"
    """Tells this filter from the others."""
    gap: NonNegativeFloat = 0.0
    """Largest difference of scores that still is a tie. Pairs without scores are kept."""


class ContaminationFilter(Config):
    """Drops rows that share text with the items of evaluation suites."""

    kind: Literal["contamination"] = "contamination"
    """Tells this filter from the others."""
    suites: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of suites in the registry; both splits of each."""
    content: tuple[str, ...] = ()
    """Hashes of the suites' files, filled in by the loader."""
    location: tuple[str, ...] = not_identity(())
    """Where this machine has them, filled in by the loader."""


Filter = Annotated[
    RefusalFilter
    | TruecaseFilter
    | LengthFilter
    | DuplicateFilter
    | NearDuplicateFilter
    | TieFilter
    | ContaminationFilter,
    Field(discriminator="kind"),
]

FILTERS: dict[str, type[Config]] = {
    str(cls.model_fields["kind"].default): cls
    for cls in (
        RefusalFilter,
        TruecaseFilter,
        LengthFilter,
        DuplicateFilter,
        NearDuplicateFilter,
        TieFilter,
        ContaminationFilter,
    )
}
"""Filter class by the name that a study writes."""


def _filter(value: object) -> object:
    """Return a filter from its name, or from its name and its fields: ``{length: {max: 400}}``."""
    if isinstance(value, Config):
        return value
    name: object = value
    fields: object = {}
    if isinstance(value, Mapping) and "kind" in value:
        return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, fields),) = value.items()
    if not isinstance(name, str) or name not in FILTERS:
        raise _wrong(f"the filter {one_of(name, FILTERS)}")
    if not isinstance(fields, Mapping):
        raise _wrong(f"{name} takes fields, such as {{length: {{max: 400}}}}.")
    listed = {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
    return FILTERS[name](**listed)


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("data", "{message}", {"message": message})


def _columns(value: object) -> object:
    """Return pairs of our name and the file's, sorted, from a mapping."""
    if not isinstance(value, Mapping):
        return value
    if not all(isinstance(name, str) for item in value.items() for name in item):
        raise _wrong(f"{dict(value)!r} does not map names to names, such as {{prompt: question}}.")
    return tuple(sorted(value.items()))


def _where(value: object) -> object:
    """Return pairs of column and allowed values, sorted, from a mapping to a value or a list."""
    if not isinstance(value, Mapping):
        return value
    return tuple(
        (str(column), tuple(allowed) if isinstance(allowed, list | tuple) else (allowed,))
        for column, allowed in sorted(value.items())
    )


_NAMES = WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}})
_MAPPING = WithJsonSchema({"type": "object"})
_FILTER = WithJsonSchema(
    {
        "anyOf": [
            {"enum": sorted(FILTERS)},
            {
                "type": "object",
                "properties": {name: {"type": "object"} for name in sorted(FILTERS)},
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ]
    }
)
_PARTS = WithJsonSchema(
    {
        "anyOf": [
            {"type": "object", "additionalProperties": {"type": "number", "exclusiveMinimum": 0}},
            {"type": "array", "items": {"type": ["string", "object"]}},
        ]
    }
)
Columns = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_columns), _NAMES]
Where = Annotated[
    tuple[tuple[str, tuple[str | int | float | bool | None, ...]], ...],
    BeforeValidator(_where),
    _MAPPING,
]
Filters = tuple[Annotated[Filter, BeforeValidator(_filter), _FILTER], ...]


class Origin(Config):
    """Where the rows of a data set are and how they are read."""

    dataset: str
    """Registry name, file, folder or hub id."""
    content: str | None = None
    """Hash of the local file behind ``dataset``, or its hub id with revision."""
    layout: str | None = None
    """What its columns mean, as the readers call it; None recognizes it from their names."""
    columns: Columns = ()
    """The file's name of each of our columns, where they differ."""
    where: Where = ()
    """Column and the values that are kept; a row has to meet all."""
    subset: str | None = None
    """Which configuration of a hub data set; None where it has one."""
    split: str = "train"
    """Which split of a hub data set or of a folder in hub layout."""
    bad_rows: BadRows = added_later("refuse", neutral="refuse")
    """Whether a row that cannot be read ends the job or is left out and counted."""
    location: str = not_identity("")
    """Where this machine has the file or folder; empty for a hub id."""


class MixPart(Origin):
    """One data set of a mixture."""

    weight: Annotated[float, Field(gt=0)] | None = None
    """Its share against the other weights; None in a mixture without weights, which joins all."""
    examples: PositiveInt | None = None
    """Seeded subsample of this size; None takes all, or what the weight says."""


def _mix(value: object) -> object:
    """Return parts from ``{name: weight}`` or from a list of names and mappings."""
    if isinstance(value, Mapping):
        return tuple(MixPart(dataset=str(k), weight=v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return tuple(_part(item) for item in value)
    return value


def _part(item: object) -> object:
    if isinstance(item, str):
        return MixPart(dataset=item)
    return MixPart(**item) if isinstance(item, Mapping) else item


Mix = Annotated[tuple[MixPart, ...], BeforeValidator(_mix), _PARTS]


class Shaping(Config):
    """What is kept of a data set, and in which order: slice, filters, then cap or mixture."""

    layout: str | None = added_later(None, neutral=None)
    """What the columns mean; None takes the registry's word or recognizes it from their names."""
    columns: Columns = added_later((), neutral=())
    """The file's name of each of our columns, where they differ: ``{prompt: question}``."""
    where: Where = added_later((), neutral=())
    """Slice: column and the values that are kept, ``{source: [flan, sharegpt]}``."""
    subset: str | None = added_later(None, neutral=None)
    """Which configuration of a hub data set."""
    split: str = added_later("train", neutral="train")
    """Which split of a hub data set or of a folder in hub layout."""
    bad_rows: BadRows = added_later("refuse", neutral="refuse")
    """Whether a row that cannot be read ends the job, or is left out, counted and named. A file
    that is broken as a whole is refused in either case."""
    filters: Filters = added_later((), neutral=())
    """Applied in order, each counted before and after."""
    cap: PositiveInt | None = added_later(None, neutral=None)
    """Seeded subsample of at most this size; a smaller set is kept whole, and the report says so.
    ``examples`` asks for exactly so many."""
    mix: Mix = added_later((), neutral=())
    """Data sets that are joined, with weights or all of each; in place of one ``dataset``."""

    @property
    def is_plain(self) -> bool:
        """Return whether every row of one data set is kept as it is."""
        fields = Shaping.model_fields
        return all(getattr(self, name) == field.default for name, field in fields.items())
