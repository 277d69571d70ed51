"""Reading a data set once as it is and once as it is used, for a person who waits."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ablate.cli.data_names import Named
from ablate.cli.output import use_colour
from ablate.cli.progress import REDRAW_SECONDS
from ablate.data.artifacts import DROPPED
from ablate.data.hygiene.card import Card, CardBuilder
from ablate.data.hygiene.harmless import harmless
from ablate.data.inspection import Inspection, drops, inspect
from ablate.data.shaping.items import Item


@dataclass
class Looked:
    """A data set with all that is printed about it."""

    named: Named
    found: Inspection
    card: Card | None
    """Lengths and checks of the rows that are kept; None for a table."""
    examples: list[Item]
    left_out: list[str]
    """A line for each row left out, where these are asked for."""
    wanted: int
    """Examples asked for."""


def look(named: Named, args: argparse.Namespace) -> Looked:
    """Return what a data set holds; raises StageError where it cannot be read or used."""
    examples: list[Item] = []
    builder = CardBuilder(named.name)

    def see(item: Item) -> None:
        builder.add(item)
        if len(examples) < args.examples:
            examples.append(item)

    with TemporaryDirectory() as folder, progress(named.name) as tell:
        scratch = Path(folder)
        found = inspect(named.origin, named.shaping, args.kind, scratch=scratch, see=see, tell=tell)
        lines = [_line(drop) for drop in drops(scratch / DROPPED)] if args.dropped else []
    card = None if found.kind is None else builder.card(ledger=found.ledger)
    return Looked(named, found, card, examples, lines, args.examples)


def _line(drop: dict[str, object]) -> str:
    return f"{harmless(str(drop['source']), 60)} row {drop['row']}: {drop['reason']}"


@contextmanager
def progress(name: str) -> Iterator[Callable[[int], None]]:
    """Give a function that shows rows read, in one moving line; elsewhere than on a terminal none.

    The clock is looked at once in so many rows: a call for each would cost as much as reading it.
    """
    stream = sys.stderr
    if not use_colour(stream):
        yield lambda rows: None
        return
    last = time.monotonic()

    def tell(rows: int) -> None:
        nonlocal last
        if rows % 256 == 0 and time.monotonic() - last > REDRAW_SECONDS:
            last = time.monotonic()
            line = f"{harmless(name, 40)}: {rows:,} rows"
            print(f"\r\033[2K{line}", end="", file=stream, flush=True)

    try:
        yield tell
    finally:
        print("\r\033[2K", end="", file=stream, flush=True)
