"""The rows of a data set, whatever it is: generated, registered, a file, a folder or a hub id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import blake2b
from itertools import chain

from ablate.data.converters.hh import NAME as HH_HARMLESS
from ablate.data.converters.hh import of_part
from ablate.data.converters.table import CONVERTERS
from ablate.data.reading import conversion
from ablate.data.reading.columns import MalformedRow
from ablate.data.reading.files import Row
from ablate.data.reading.layouts import LAYOUTS, Converter, recognize
from ablate.data.reading.limits import bad_row
from ablate.data.reading.origin import origin_rows
from ablate.data.records import Demonstration, Dropped, Judged, Prompt
from ablate.data.shaping.items import Item, Kind, of_kind, row_number
from ablate.data.tiny.preferences import EXAMPLES, LABELLERS, preferences
from ablate.data.tiny.rankings import judged
from ablate.data.tiny.sets import (
    PROMPT_EXAMPLES,
    PROMPT_WEIGHTS,
    SFT_EXAMPLES,
    demonstrations,
    prompts,
)
from ablate.errors import StageError, unknown_choice
from ablate.spec.shaping import Origin

TINY_DEMONSTRATIONS = "tiny-demonstrations"
GENERATED = frozenset({*LABELLERS, TINY_DEMONSTRATIONS, *PROMPT_WEIGHTS})
"""Data sets that are made and not read."""


def generated_items(
    name: str, kind: Kind, *, seed: int, examples: int | None = None, replies: int = 2
) -> tuple[Iterator[Item | Dropped], Counter[str]] | None:
    """Return rows of an embedded world's data set and what was left out on the way, by reason.

    None for any other name. Exactly ``examples`` rows are made, so a subsample is never needed.
    """
    ties: Counter[str] = Counter()
    items: Iterable[Item]
    if name in LABELLERS and replies > 2:
        items, ties = judged(name, seed, examples or EXAMPLES, replies=replies)
    elif name in LABELLERS:
        pairs, ties = preferences(name, seed, examples or EXAMPLES)
        items = map(Judged, pairs)
    elif name == TINY_DEMONSTRATIONS:
        items = demonstrations(seed, examples or SFT_EXAMPLES)
    elif name in PROMPT_WEIGHTS:
        items = prompts(name, seed, examples or PROMPT_EXAMPLES)
    else:
        return None
    return of_kind(_named(items, name, seed), kind), ties


def _named(items: Iterable[Item], name: str, seed: int) -> Iterator[Item]:
    """Yield generated rows with the data set that they come from."""
    for number, item in enumerate(items):
        if isinstance(item, Judged):
            yield Judged(
                item.pair and replace(item.pair, source=name),
                item.ranking and replace(item.ranking, source=name),
                tuple(replace(rated, source=name) for rated in item.rated),
            )
        elif isinstance(item, Demonstration):
            yield replace(item, id=f"{name}-{seed}-{number}", source=name)
        else:
            yield replace(item, source=name)


def source_items(origin: Origin, kind: Kind, *, part: str = "train") -> Iterator[Item | Dropped]:
    """Yield the rows of a data set that lies somewhere, as a stage of this kind uses them.

    Raises StageError (``bad_data``) with file and row where a row cannot be read.
    """
    items = converted(origin_rows(origin, on_bad_row=origin.bad_rows), origin)
    if origin.dataset == HH_HARMLESS:
        items = of_part(items, part)
    found = of_kind(items, kind)
    return _distinct(found) if kind == "prompts" else found


def _distinct(items: Iterable[Item | Dropped]) -> Iterator[Item | Dropped]:
    """Yield each prompt once: a data set may hold several replies to it."""
    seen: set[bytes] = set()
    for item in items:
        if not isinstance(item, Prompt):
            yield item
            continue
        said = repr([dict(message) for message in item.messages])
        key = blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        yield Dropped(row_number(item), "repeated_prompt") if key in seen else item
        seen.add(key)


def converted(rows: Iterable[Row | Dropped], origin: Origin) -> Iterator[Item | Dropped]:
    """Yield what rows say, read as the origin's layout or as the one their columns look like."""
    rows = iter(rows)
    first: Row | None = None
    for row in rows:
        if not isinstance(row, Dropped):
            first = row
            break
        yield row
    if first is None:
        return
    where = origin.location or origin.dataset
    try:
        convert = _converter(origin, first)
    except MalformedRow as error:
        raise bad_row(where, first[0], str(error)) from error
    source = source_name(origin)
    yield from conversion.converted(
        chain([first], rows), convert, source, where=where, on_bad_row=origin.bad_rows
    )


def source_name(origin: Origin) -> str:
    """Return what rows are called after: the registry's name, or the file's without its ending."""
    name = origin.dataset.rstrip("/").rpartition("/")[2]
    is_file = "." in name and (origin.dataset.startswith((".", "/", "~")) or "." in name[1:])
    return name.partition(".")[0] if is_file and "@" not in origin.dataset else name


def _converter(origin: Origin, first: Row) -> Converter:
    known = {**LAYOUTS, **CONVERTERS}
    layout = origin.layout or recognize(first[1].keys(), first[1])
    if layout not in known:
        raise StageError(
            f"data set {origin.dataset!r}: {unknown_choice('layout', layout, sorted(known))}",
            kind="bad_data",
        )
    return known[layout]
