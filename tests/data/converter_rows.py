"""Rows in, records out: what the tests of converters share."""

from typing import Any

from ablate.data.converters.table import CONVERTERS
from ablate.data.records import Dropped, Judged, Messages, Pair
from ablate.data.shaping.items import Item


def convert(layout: str, *rows: dict[str, Any]) -> list[Item | Dropped]:
    """Return what the converter of a layout makes of rows numbered from 1, of the set ``s``."""
    return list(CONVERTERS[layout](enumerate(rows, 1), "s"))


def pair_in(item: Item | Dropped) -> Pair:
    """Return the pair of a record that has one."""
    assert isinstance(item, Judged) and item.pair is not None
    return item.pair


def replies(item: Item | Dropped) -> tuple[str, str]:
    """Return chosen and rejected."""
    pair = pair_in(item)
    return pair.chosen, pair.rejected


def scores(item: Item | Dropped) -> tuple[float | None, float | None, float | None]:
    """Return the scores of chosen and rejected, and the margin."""
    pair = pair_in(item)
    return pair.chosen_score, pair.rejected_score, pair.margin


def said(messages: Messages) -> list[tuple[str, str]]:
    """Return who said what."""
    return [(message["role"], message["content"]) for message in messages]


def turns(*contents: str) -> list[dict[str, str]]:
    """Return messages of the user and the assistant in turn."""
    roles = ("user", "assistant") * len(contents)
    return [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
