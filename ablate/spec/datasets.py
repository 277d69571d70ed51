"""Data sets that a study defines itself, under ``datasets``, and the names that it may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import ValidationError

from ablate.errors import nearest
from ablate.spec.hub import moving
from ablate.spec.messages import one_of, show, structure_problems
from ablate.spec.names import is_dataset_location
from ablate.spec.problems import Place, Problem
from ablate.spec.registry import registry
from ablate.spec.shaping import ContaminationFilter, Filters, Shaping

DataKind = Literal["preferences", "demonstrations", "prompts", "reward_evaluation"]
MOST_LISTED = 8
"""Names written out in a message; the others are counted."""


class DatasetDefinition(Shaping):
    """A data set of the study's own: where its rows are, and what is kept of them."""

    dataset: str | None = None
    """Registry name, file, folder or hub id; None where ``mix`` says what is joined."""
    description: str = ""
    """What it is, in one line, for the report."""
    group: str = ""
    """Heading that it stands under in tables, such as Human or Synthetic."""
    license: str = ""
    """Its terms."""
    labeller: str = ""
    """Who preferred; the report warns where the judge is the same."""

    @property
    def given(self) -> tuple[tuple[str, object], ...]:
        """Return the fields of a shaping that the study wrote, mixture apart."""
        names = [name for name in Shaping.model_fields if name != "mix"]
        return tuple((n, getattr(self, n)) for n in names if n in self.model_fields_set)

    def names(self) -> tuple[str, ...]:
        """Return the data sets that it is made of."""
        parts = tuple(part.dataset for part in self.mix)
        return parts if self.dataset is None else (self.dataset, *parts)

    def suites(self) -> tuple[str, ...]:
        """Return the suites that its filters compare with."""
        return suites_of(self.filters)


def suites_of(filters: Filters) -> tuple[str, ...]:
    """Return the suites that some filters compare with."""
    wanted = (f for f in filters if isinstance(f, ContaminationFilter))
    return tuple(suite for found in wanted for suite in found.suites)


def read_datasets(
    written: Mapping[str, Mapping[str, object]], problems: list[Problem]
) -> dict[str, DatasetDefinition]:
    """Return the definitions of a study that are right; add what is wrong with the others."""
    found: dict[str, DatasetDefinition] = {}
    for name, fields in written.items():
        place: Place = ("datasets", name)
        try:
            given = {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
            definition = DatasetDefinition.model_validate(given)
        except ValidationError as error:
            for problem in structure_problems(error.errors(include_url=False), _fields):
                at = (*place, *problem.place[:1])
                problems.append(Problem(at, problem.message, at_key=problem.at_key))
            continue
        wrong = _wrong(name, definition)
        if wrong:
            problems.append(Problem(place, wrong, at_key=True))
        else:
            found[name] = definition
    for name, definition in found.items():
        problems.extend(_wrong_parts(name, definition, found))
    return found


def _fields(place: Place) -> list[str]:
    return list(DatasetDefinition.model_fields)


def _wrong(name: str, definition: DatasetDefinition) -> str:
    if name in registry().datasets or name in registry().prompts:
        return f"{show(name)} is a name of the registry. Choose another."
    if (definition.dataset is None) == (not definition.mix):
        return "either dataset or mix says where the rows are; it has both or none. Keep one."
    if unknown := [suite for suite in definition.suites() if suite not in registry().suites]:
        return f"the filter contamination: {one_of(unknown[0], registry().suites)}"
    weights = [part.weight for part in definition.mix]
    if any(weights) and not all(weights):
        return "some parts of the mixture have weights and some have not. Give each one, or none."
    if any(part.weight and part.examples for part in definition.mix):
        return "a part has a weight or a number of examples, not both. Keep one."
    return ""


def _wrong_parts(
    name: str, definition: DatasetDefinition, defined: Mapping[str, DatasetDefinition]
) -> list[Problem]:
    """Check that parts are no mixtures and have no filters: what is kept is said once."""
    problems = []
    for part in definition.names():
        inner, entry = defined.get(part), registry().datasets.get(part)
        if definition.dataset is not None:
            found = f"{part!r} is a definition itself" if inner is not None else ""
        elif inner is not None:
            kept_whole = not (inner.mix or inner.filters or inner.cap)
            found = "" if kept_whole else f"{part!r} is a mixture, or has filters or a cap"
        else:
            found = f"{part!r} is a mixture" if entry is not None and entry.mix else ""
        if found:
            advice = "Write out the files and registry sets that it is made of."
            problems.append(Problem(("datasets", name), f"{found}. {advice}", at_key=True))
    return problems


def allowed_names(kind: DataKind, defined: Mapping[str, DatasetDefinition]) -> list[str]:
    """Return the names that a study may use for a kind of data, files aside."""
    known = registry()
    names = known.named(kind) if kind != "prompts" else list(known.prompts)
    if kind == "reward_evaluation":
        names = ["dataset", *names]
    return [*names, *defined]


def wrong_name(kind: DataKind, name: str, defined: Mapping[str, DatasetDefinition]) -> str | None:
    """Return what is wrong with the name of a data set, or None."""
    allowed = sorted(allowed_names(kind, defined))
    also = _also(kind)
    if name in allowed or name in also or is_dataset_location(name):
        return None
    if (wrong := moving(name, kind="dataset")) is not None:
        return wrong
    listed = ", ".join(allowed[:MOST_LISTED])
    if len(allowed) > MOST_LISTED:
        listed += f" and {len(allowed) - MOST_LISTED} more (`ablate data` lists them)"
    return (
        f"{show(name)} is not one of {listed}.{nearest(name, [*allowed, *also])} "
        "A file is named with its folder, such as ./pairs.jsonl."
    )


def _also(kind: DataKind) -> list[str]:
    """Return data sets of other kinds whose rows hold what is asked for as well."""
    if kind in ("demonstrations", "prompts"):
        wanted = {"preferences", "demonstrations"}
        entries = registry().datasets.items()
        return [n for n, e in entries if e.world is None and wanted & set(e.kinds)]
    return []
