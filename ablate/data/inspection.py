"""One look at a data set as it would be used: its columns, what is left out, what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from ablate.data.artifacts import DROPPED
from ablate.data.making import Wish, made_items
from ablate.data.reading.layouts import TABLE, recognize
from ablate.data.reading.limits import Row
from ablate.data.reading.origin import origin_rows
from ablate.data.records import Demonstration, Document, Dropped, Judged, Prompt, user
from ablate.data.shaping.items import Item, Kind, leading, of_kind, prompt_of
from ablate.data.shaping.ledger import Ledger
from ablate.data.sources import GENERATED, TINY_DEMONSTRATIONS, converted
from ablate.data.survey import Named, Survey, surveyed, texts_in
from ablate.data.tiny.catalogue import WORLD
from ablate.data.tiny.preferences import evaluation_pairs
from ablate.data.tiny.sets import PROMPT_WEIGHTS
from ablate.spec.shaping import Origin, Shaping

HELD_OUT_PAIRS = 512
"""Pairs of each kind that are made of a generated world's held-out pairs, to look at."""
ASKING = ("prompt", "question", "query", "instruction", "input", "text", "problem", "turns")
"""Columns, in any case, that hold what an evaluation item asks."""
Tell = Callable[[int], None]
"""Told how many rows were read so far."""


@dataclass
class Inspection:
    """What was found."""

    origin: Origin
    shaping: Shaping
    kind: Kind | None
    """What its rows are used as; None for a table, which is no training data."""
    layout: str
    """As recognized or given; empty for generated data and mixtures."""
    survey: Survey | None
    """Of the rows as they are; None for generated data and mixtures."""
    ledger: Ledger
    dropped: dict[str, Named] = field(default_factory=dict)
    """Rows left out by reason; of generated data they have no numbers."""
    kept: int = 0


def inspect(
    origin: Origin,
    shaping: Shaping,
    kind: Kind | None,
    *,
    scratch: Path,
    see: Callable[[Item], None],
    tell: Tell = lambda rows: None,
) -> Inspection:
    """Return what a data set holds; ``see`` gets every row that is kept, ``tell`` the progress.

    ``kind`` None takes what the rows are first of all. Rows are read twice, once as they are and
    once as they are used. Raises StageError where a row cannot be used as its layout says.
    """
    survey, layout = None, ""
    if not shaping.mix and origin.dataset not in (*GENERATED, WORLD):
        survey = Survey()
        for _ in surveyed(told(origin_rows(origin), tell), survey):
            pass
        layout = layout_of(origin, survey)
    found = kind or (None if layout == TABLE else kind_of(origin, shaping))
    with Ledger(scratch / DROPPED) as ledger:
        result = Inspection(origin, shaping, found, layout, survey, ledger)
        for item in rows_of(origin, shaping, found, ledger=ledger, scratch=scratch):
            see(item)
            result.kept += 1
            tell(result.kept)
    result.dropped = named_drops(scratch / DROPPED)
    for reason, count in ledger.dropped.items():
        result.dropped.setdefault(reason, Named(count))
    return result


def told(rows: Iterable[Row], tell: Tell) -> Iterator[Row]:
    """Yield rows and tell how many there were."""
    for place, row in enumerate(rows, start=1):
        tell(place)
        yield row


def rows_of(
    origin: Origin, shaping: Shaping, kind: Kind | None, *, ledger: Ledger, scratch: Path
) -> Iterator[Item]:
    """Yield the rows that are kept of any data set; none of a table."""
    if kind is None:
        return
    if origin.dataset == WORLD:
        sets = (evaluation_pairs(name, 0, HELD_OUT_PAIRS) for name in ("ordinary", "hard"))
        for item in of_kind(map(Judged, chain(*sets)), kind):
            if not isinstance(item, Dropped):
                yield item
        return
    yield from made_items(origin, shaping, Wish(kind), ledger=ledger, scratch=scratch)


def layout_of(origin: Origin, survey: Survey) -> str:
    """Return how the rows are read; a table without a row, and where the first has no columns."""
    if origin.layout is not None:
        return origin.layout
    first = survey.examples[0] if survey.examples else None
    return recognize(first.keys(), first) if first else TABLE


def kind_of(origin: Origin, shaping: Shaping) -> Kind:
    """Return what the first usable row is."""
    name = shaping.mix[0].dataset if shaping.mix else origin.dataset
    if name in PROMPT_WEIGHTS:
        return "prompts"
    if name in GENERATED:
        return "demonstrations" if name == TINY_DEMONSTRATIONS else "preferences"
    if name == WORLD:
        return "preferences"
    first = shaping.mix[0] if shaping.mix else origin
    for item in converted(origin_rows(first), first):
        if isinstance(item, Demonstration):
            return "demonstrations"
        if isinstance(item, Prompt):
            return "prompts"
        if isinstance(item, Judged):
            break
    return "preferences"


def named_drops(path: Path) -> dict[str, Named]:
    """Return the rows of a ledger's file by reason, the first ones by number."""
    found: dict[str, Named] = {}
    for line in drops(path):
        found.setdefault(line["reason"], Named()).add(line["row"])
    return found


def drops(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a ledger's file: row, source and reason."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def document(item: Item) -> Document:
    """Return a row as an item that others may hold: its prompt."""
    said = leading(item)
    return Document(said.id, prompt_of(item), said.category or "")


def table_documents(origin: Origin) -> tuple[str, list[Document]]:
    """Return the column that asks, and the rows of a table as evaluation items.

    An empty name and no items where no column asks: what annotations and leaderboards say in
    thousands of rows is no item to look for.
    """
    column, found = "", []
    for number, row in origin_rows(origin):
        column = column or asking_column(row)
        if not column:
            break
        found.append(Document(f"{number}", user("\n".join(texts_in(row.get(column)))), ""))
    return column, found


def table_items(origin: Origin) -> Iterator[Item]:
    """Yield the rows of a table, all their texts as one prompt."""
    for number, row in origin_rows(origin):
        yield Prompt(f"{number}", user("\n".join(texts_in(row))))


def asking_column(row: Mapping[str, Any]) -> str:
    """Return the column that asks, by its name; an empty string where none is called so."""
    by_name = {name.casefold(): name for name in row}
    return next((by_name[name] for name in ASKING if name in by_name), "")
