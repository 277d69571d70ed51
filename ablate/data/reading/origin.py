"""Rows of a data set's origin, its slice taken and its columns renamed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, overload

from ablate.data.reading.columns import listed, rename
from ablate.data.reading.files import MALFORMED, read_rows, resolve
from ablate.data.reading.folders import split_files
from ablate.data.reading.hub import hub_rows
from ablate.data.reading.limits import LIMITS, Bad, BadFile, Row, bad_row
from ablate.data.records import Dropped
from ablate.spec.shaping import Origin

OnBadRow = Literal["refuse", "skip"]
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+(@[\w./-]+)?")


@overload
def origin_rows(origin: Origin) -> Iterator[Row]: ...
@overload
def origin_rows(origin: Origin, *, on_bad_row: OnBadRow) -> Iterator[Row | Dropped]: ...


def origin_rows(origin: Origin, *, on_bad_row: OnBadRow = "refuse") -> Iterator[Row | Dropped]:
    """Yield the rows of a data set that meet its ``where``, with our names of columns.

    Numbers run on from file to file of a folder. A column that ``columns`` or ``where`` names has
    to be in the first row. A malformed row raises StageError, or comes as `Dropped`.
    """
    where = origin.location or origin.dataset
    first = True
    for item in _all_rows(origin, on_bad_row):
        if isinstance(item, Dropped):
            yield item
            continue
        number, row = item
        if first:
            wanted = [name for _, name in origin.columns] + [name for name, _ in origin.where]
            ours = {name for name, _ in origin.columns}
            if missing := [n for n in wanted if n not in row and n not in ours]:
                reason = f"column {missing[0]!r} is missing; {listed(row)}. Correct the name."
                raise bad_row(where, number, reason)
            first = False
        found = rename(row, origin.columns)
        if all(meets(row.get(c, found.get(c)), allowed) for c, allowed in origin.where):
            yield number, found


def meets(value: Any, allowed: tuple[str | int | float | bool | None, ...]) -> bool:
    """Return whether a value is one of some. Text that spells a number is that number, as in CSV.

    True is not 1, and a list or an object is never equal to a value.
    """
    for item in allowed:
        if isinstance(value, bool) or isinstance(item, bool):
            equal = value is item or (
                isinstance(value, str) and value.casefold() == str(item).lower()
            )
        elif isinstance(value, str) and isinstance(item, int | float):
            equal = value.strip() == str(item)
        else:
            equal = value == item
        if equal:
            return True
    return False


def _all_rows(origin: Origin, on_bad_row: OnBadRow) -> Iterator[Row | Dropped]:
    hub = _hub_name(origin)
    if hub:
        yield from _hub_rows(hub, origin, on_bad_row)
        return
    path = resolve(origin.dataset, origin.location)
    if not path.is_dir():
        yield from read_rows(path, on_bad_row=on_bad_row)
        return
    before = 0
    for file in split_files(path, subset=origin.subset, split=origin.split):
        number = 0
        for item in read_rows(file, on_bad_row=on_bad_row):
            number = item.row if isinstance(item, Dropped) else item[0]
            if isinstance(item, Dropped):
                yield Dropped(before + number, item.reason)
            else:
                yield before + number, item[1]
        before += number


def _hub_name(origin: Origin) -> str:
    """Return ``owner/name@revision`` where the rows are on the hub, else an empty string."""
    if origin.location:
        return ""
    if origin.content is not None and origin.content.startswith("hub:"):
        return origin.content.removeprefix("hub:")
    is_id = _HUB_ID.fullmatch(origin.dataset) and not Path(origin.dataset).exists()
    return origin.dataset if is_id and "@" in origin.dataset else ""


def _hub_rows(name: str, origin: Origin, on_bad_row: OnBadRow) -> Iterator[Row | Dropped]:
    try:
        for row in hub_rows(name, subset=origin.subset, split=origin.split, limits=LIMITS):
            if not isinstance(row, Bad):
                yield row
            elif on_bad_row == "skip":
                yield Dropped(row.row, MALFORMED)
            else:
                raise bad_row(name, row.row, row.reason)
    except BadFile as error:
        raise bad_row(name, error.row, str(error)) from error
