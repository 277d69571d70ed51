"""From the rows of one or more sources to the rows of a data set, with bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ablate.data.records import Dropped
from ablate.data.shaping.filters import Step, row_filter
from ablate.data.shaping.items import Item
from ablate.data.shaping.ledger import Count, Ledger
from ablate.data.shaping.select import Wanted, chosen
from ablate.data.shaping.spool import Row, Spool
from ablate.data.shaping.unique import without_near_duplicates
from ablate.spec.shaping import (
    ContaminationFilter,
    Filter,
    LengthFilter,
    NearDuplicateFilter,
    Shaping,
)


class Suites(Protocol):
    """Items of evaluation suites, ready to be looked for in rows."""

    def findings(self, items: Iterable[Item]) -> Iterator[tuple[Item, Sequence[object]]]:
        """Yield every row, in order, with what it holds of the suites."""


Indexes = Callable[[ContaminationFilter], Suites]
"""Returns the suites that a filter names."""


@dataclass(frozen=True)
class Source:
    """Rows of one origin, sliced already and of the kind that the stage makes."""

    name: str
    """Names the rows that a converter left out."""
    items: Iterable[Item | Dropped]
    """Read once."""


def shaped(
    sources: Sequence[Source],
    shaping: Shaping,
    *,
    wanted: Wanted,
    ledger: Ledger,
    scratch: Path,
    indexes: Indexes | None = None,
) -> Iterator[Item]:
    """Yield the rows that are kept, in the order of the sources and of their files.

    ``sources`` holds the one data set, or the parts of ``shaping.mix`` in its order. Filters see
    all parts as one stream, so a row that two parts share stays in the first; their supply for
    the mixture is what is left. Nothing happens before the first row is asked for, and the ledger
    is complete when the last one was. What a choice is made from lies in files in ``scratch``
    until then. Raises StageError where rows are too few, StudyError for weights on some parts.
    """
    if len(sources) != max(1, len(shaping.mix)):
        raise ValueError(f"{len(sources)} sources for {len(shaping.mix)} parts of a mixture")
    rows = _opened(sources, ledger)
    for place, config in enumerate(shaping.filters):
        count = ledger.step(step_name(config))
        if isinstance(config, NearDuplicateFilter):
            folder = scratch / f"filter-{place}"
            rows = without_near_duplicates(rows, config, count=count, ledger=ledger, folder=folder)
        elif not isinstance(config, ContaminationFilter):
            rows = _filtered(rows, row_filter(config), count, ledger)
        elif indexes is not None:
            rows = _uncontaminated(rows, indexes(config), count, ledger)
        else:
            raise ValueError("a contamination filter needs its suites")
    if shaping.cap is None and wanted.examples is None and not shaping.mix:
        yield from (item for _, item in rows)
        return
    with Spool(scratch / "shaped.jsonl") as spool:
        for source, item in rows:
            spool.add(source, item)
        kept = chosen(spool.sizes(len(sources)), shaping, wanted, ledger)
        yield from (item for _, item in spool.rows(kept.tolist()))


def step_name(config: Filter) -> str:
    """Return what a filter is called in counts: its kind, and what it measures."""
    return f"{config.of}_length" if isinstance(config, LengthFilter) else config.kind


def _opened(sources: Sequence[Source], ledger: Ledger) -> Iterator[Row]:
    """Yield the usable rows of all sources and name the others."""
    for number, source in enumerate(sources):
        for item in source.items:
            if isinstance(item, Dropped):
                ledger.drop(item, source.name)
            else:
                ledger.read[source.name] += 1
                yield number, item


def _uncontaminated(
    rows: Iterable[Row], suites: Suites, count: Count, ledger: Ledger
) -> Iterator[Row]:
    """Yield the rows that hold nothing of the suites; they are looked up many at a time."""
    sources: deque[int] = deque()

    def items() -> Iterator[Item]:
        for source, item in rows:
            sources.append(source)
            yield item

    for item, findings in suites.findings(items()):
        count.before += 1
        source = sources.popleft()
        if findings:
            ledger.filtered(item, count.step)
        else:
            count.after += 1
            yield source, item


def _filtered(rows: Iterable[Row], step: Step, count: Count, ledger: Ledger) -> Iterator[Row]:
    for source, item in rows:
        count.before += 1
        result = step(item)
        if result is None:
            ledger.filtered(item, count.step)
            continue
        count.after += 1
        count.changed += result is not item
        yield source, result
