"""Rows through a converter, with the place of whatever is wrong and the policy for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from ablate.data.reading.columns import MalformedRow
from ablate.data.reading.files import MALFORMED
from ablate.data.reading.layouts import Converter, Item
from ablate.data.reading.limits import Row, bad_row
from ablate.data.records import Dropped


def converted(
    rows: Iterable[Row | Dropped],
    converter: Converter,
    source: str,
    *,
    where: object,
    on_bad_row: Literal["refuse", "skip"] = "refuse",
) -> Iterator[Item | Dropped]:
    """Yield what a converter makes of rows, and the rows that were skipped before it.

    A malformed row raises StageError with ``where`` (the file) and its number; where it is to be
    skipped, the converter starts anew after it. What it holds of a group it has to give before.
    """
    feed = _Feed(rows)
    while True:
        try:
            for item in converter(feed, source):
                yield from feed.taken()
                yield item
            yield from feed.taken()
            return
        except MalformedRow as error:
            if on_bad_row == "refuse":
                raise bad_row(str(where), feed.number, str(error)) from error
            yield from feed.taken()
            yield Dropped(feed.number, MALFORMED)


class _Feed:
    """Rows for a converter; what is no row is put aside."""

    def __init__(self, rows: Iterable[Row | Dropped]) -> None:
        self._rows = iter(rows)
        self._aside: list[Dropped] = []
        self.number = 1
        """Of the last row given."""

    def __iter__(self) -> Iterator[Row]:
        for item in self._rows:
            if isinstance(item, Dropped):
                self._aside.append(item)
            else:
                self.number = item[0]
                yield item

    def taken(self) -> list[Dropped]:
        """Return what was put aside, and forget it."""
        aside, self._aside = self._aside, []
        return aside
