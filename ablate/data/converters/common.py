"""What the converters of published data sets share: rows in, records or a reason to drop out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ablate.data.reading.columns import (
    Conversation,
    MalformedRow,
    conversation,
    drop_reason,
    number,
    short,
    text,
)
from ablate.data.reading.layouts import Converter as Converter
from ablate.data.reading.limits import Row
from ablate.data.records import Dropped, Judged, Pair, user
from ablate.data.shaping.items import Item

Columns = Mapping[str, Any]


class Context(NamedTuple):
    """What the replies of a row have in common."""

    id: str
    """The data set's name and the row's number; of a group of rows, the first one's."""
    source: str
    prompt: Conversation
    category: str | None = None


def row_by_row(convert: Callable[[Columns, str, str], Item | str]) -> Converter:
    """Return the converter that makes one record of each row.

    ``convert`` takes columns, id and source, and returns a record or the reason to drop the row.
    """

    def converter(rows: Iterable[Row], source: str) -> Iterator[Item | Dropped]:
        for row_number, row in rows:
            found = convert(row, f"{source}-{row_number}", source)
            yield Dropped(row_number, found) if isinstance(found, str) else found

    return converter


def pair_of(
    context: Context,
    replies: tuple[str, str],
    *,
    scores: tuple[float, float] | None = None,
    margin: bool = False,
) -> Pair | str:
    """Return the pair of a chosen and a rejected reply, or the reason why it teaches nothing.

    All text is stripped, and a row with an empty turn is left out, as in the conversion of Ivison
    et al. (2024). ``margin`` says that the difference of the scores is in the labeller's unit.
    """
    prompt = stripped(context.prompt)
    chosen, rejected = (reply.strip() for reply in replies)
    if reason := drop_reason((prompt, prompt), (chosen, rejected)):
        return reason
    if not all(message["content"] for message in prompt):
        return "empty_turn"
    better, worse = scores or (None, None)
    apart = scores[0] - scores[1] if margin and scores else None
    said = context.id, prompt, chosen, rejected, context.category, None, apart
    return Pair(*said, context.source, better, worse)


def judged(
    context: Context,
    replies: tuple[str, str],
    *,
    scores: tuple[float, float] | None = None,
    margin: bool = False,
) -> Judged | str:
    """Return what `pair_of` does, as a row's record."""
    found = pair_of(context, replies, scores=scores, margin=margin)
    return found if isinstance(found, str) else Judged(found)


def two_dialogues(
    row: Columns,
    context: Context,
    *,
    columns: tuple[str, str] = ("chosen", "rejected"),
    scores: tuple[float, float] | None = None,
    margin: bool = False,
) -> Judged | str:
    """Return the preference between two conversations that differ in the last reply only."""
    chosen, rejected = (stripped(conversation(row, column)) for column in columns)
    if chosen[-1]["role"] != "assistant" or rejected[-1]["role"] != "assistant":
        return "no_reply"
    if chosen[:-1] != rejected[:-1]:
        return "prompts_differ"
    said = context._replace(prompt=chosen[:-1])
    replies = chosen[-1]["content"], rejected[-1]["content"]
    return judged(said, replies, scores=scores, margin=margin)


def stripped(messages: Conversation) -> Conversation:
    """Return the conversation without the white space around its messages."""
    return tuple({**message, "content": message["content"].strip()} for message in messages)


def instruction(row: Columns) -> Conversation:
    """Return an instruction and, after a blank line, the input that it is about, if any."""
    about = text(row, "input").strip() if row.get("input") else ""
    said = text(row, "instruction")
    return user(f"{said}\n\n{about}" if about else said)


def label(row: Columns, column: str) -> str | None:
    """Return a column with the name of a row's own source, None where it has none."""
    return text(row, column) if row.get(column) else None


def score(row: Columns, column: str) -> float:
    """Return a column with a finite number."""
    return number(row.get(column), f"column {column!r}")


def two_scores(row: Columns, columns: tuple[str, str]) -> tuple[float, float] | None:
    """Return two columns with numbers; None where one is missing, null or not finite."""
    try:
        return score(row, columns[0]), score(row, columns[1])
    except MalformedRow:
        return None


def draw(id_: str, size: int) -> int:
    """Return a number below ``size`` that the row's id decides, all equally likely."""
    return int.from_bytes(hashlib.sha256(id_.encode()).digest()[:8], "big") % size


def mapping(value: Any, where: str) -> Columns:
    """Return a value that must be an object."""
    if not isinstance(value, Mapping):
        raise MalformedRow(f"{where} is {short(value)}; an object is needed")
    return value


def objects(row: Columns, column: str) -> list[Columns]:
    """Return a column that must be a list of objects."""
    value = row.get(column)
    if not isinstance(value, list):
        raise MalformedRow(f"column {column!r} is {short(value)}; a list of objects is needed")
    return [mapping(item, f"column {column!r}[{at}]") for at, item in enumerate(value)]
