"""What a plan alone says of its data: who labels and who judges, caps that are not reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ablate.plan.cells import Cell
from ablate.spec.data import DataConfig
from ablate.spec.data_sources import data_entry
from ablate.spec.datasets import DatasetDefinition
from ablate.spec.online import JUDGE
from ablate.spec.registry import registry
from ablate.spec.shaping import ContaminationFilter, Shaping
from ablate.spec.usage import scorers_of

DATA_STAGES = ("preferences", "demonstrations", "prompts")
"""Stages that make data sets from what lies somewhere."""


@dataclass(frozen=True)
class Judged:
    """A data set whose labeller is known, and a model that judges after it."""

    dataset: str
    labeller: str
    judge: str
    """Name of the model in the registry."""
    aliases: tuple[str, ...]
    """What else it is called: the hub's name without its owner."""
    cells: tuple[str, ...]


def judged(cells: Iterable[Cell], definitions: Mapping[str, DatasetDefinition]) -> Iterator[Judged]:
    """Yield each labeller of data together with the model that judges policies trained on them."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for cell in cells:
        if JUDGE not in scorers_of(cell.overrides):
            continue
        judge = str(cell.overrides.get("model"))
        for config in (cell.recipe.preferences, cell.recipe.reward_preferences):
            if config is None:
                continue
            for labeller in sorted(labellers_of(config.dataset, config, definitions)):
                key = (data_name(config, definitions), labeller, judge)
                found.setdefault(key, []).append(cell.name)
    for (dataset, labeller, judge), names in found.items():
        entry = registry().models.get(judge)
        hub = (entry.hub.id.rpartition("/")[2],) if entry is not None and entry.hub else ()
        yield Judged(dataset, labeller, judge, hub, tuple(dict.fromkeys(names)))


def labellers_of(
    name: str, shaping: Shaping, definitions: Mapping[str, DatasetDefinition]
) -> set[str]:
    """Return who labelled a data set or the parts of a mixture, as the study or registry says."""
    names = {name, *(part.dataset for part in shaping.mix)}
    said = {getattr(data_entry(part), "labeller", "") for part in names}
    said |= {
        definition.labeller
        for defined, definition in definitions.items()
        if defined in names or definition.dataset in names
    }
    return said - {""}


def cap_note(shaping: Shaping, rows: int) -> str:
    """Return what to say where a set has fewer rows than its cap; an empty string elsewhere."""
    if shaping.cap is None or rows >= shaping.cap:
        return ""
    return f"{rows:,} rows are fewer than the cap of {shaping.cap:,}: kept whole, not size-matched"


def data_name(config: DataConfig, definitions: Mapping[str, DatasetDefinition]) -> str:
    """Return what a study calls a data set: its definition's name, or what it named itself.

    Of several definitions of one file it is the one with most fields that the data set has.
    """
    fitting = [
        (len(definition.given), name)
        for name, definition in definitions.items()
        if config.dataset in (name, definition.dataset)
        and all(_kept(getattr(config, field)) == _kept(value) for field, value in definition.given)
    ]
    return max(fitting)[1] if fitting else config.dataset


def _kept(value: object) -> object:
    """Return a field without what the loader fills in: the contents of a filter's suites."""
    if isinstance(value, tuple) and any(isinstance(item, ContaminationFilter) for item in value):
        return tuple(
            item.suites if isinstance(item, ContaminationFilter) else item for item in value
        )
    return value
