"""Rows of preference files: a pair, a ranking, ratings, or several of these at once."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablate.data.reading.columns import Conversation, MalformedRow, conversation, drop_reason, reply
from ablate.data.reading.files import bad_row, read_rows
from ablate.data.records import Judged, Pair, Ranking, RatedReply


def read_preference_rows(path: Path) -> tuple[list[Judged], Counter[str]]:
    """Return what the rows of a file say, and the rows dropped by reason.

    A row has ``chosen`` and ``rejected``, or ``ranking`` (replies, best first), or one rated
    ``completion``; each reply is a string or messages. Replies may be whole conversations; the
    prompt is then what comes before the last message, and a ``prompt`` column is not needed.
    ``margin`` says how much better the chosen reply is. ``attributes`` holds ratings by name: an
    object for a ``completion``, else a list with one for each reply in the row's order.
    """
    rows: list[Judged] = []
    dropped: Counter[str] = Counter()
    for number, row in read_rows(path):
        try:
            judged = _judged(row, f"{path.name.partition('.')[0]}-{number}")
        except MalformedRow as error:
            raise bad_row(path, number, str(error)) from error
        if isinstance(judged, Judged):
            rows.append(judged)
        else:
            dropped[judged] += 1
    return rows, dropped


def _judged(row: dict[str, Any], id_: str) -> Judged | str:
    """Return what a row says, or the reason to drop it."""
    category = row.get("category")
    known = category if isinstance(category, str) else None
    if row.get("ranking") is not None:
        return _ranked(row, id_, known)
    if row.get("chosen") is None and row.get("completion") is not None:
        prompt, (text,) = _replies(row, ("completion",))
        if reason := _unusable(prompt, (text,)):
            return reason
        ratings = _ratings(row.get("attributes"), "column 'attributes'")
        return Judged(rated=(RatedReply(id_, prompt, text, ratings, known),))
    before_chosen, chosen = reply(row, "chosen")
    before_rejected, rejected = reply(row, "rejected")
    if not before_chosen and not before_rejected:
        before_chosen = before_rejected = conversation(row, "prompt")
    if reason := drop_reason((before_chosen, before_rejected), (chosen, rejected)):
        return reason
    pair = Pair(id_, before_chosen, chosen, rejected, known, None, _margin(row))
    return Judged(pair, rated=_rated(row, id_, before_chosen, (chosen, rejected)))


def _ranked(row: dict[str, Any], id_: str, category: str | None) -> Judged | str:
    """Return a ranking with a pair: its best reply against one of the others, chosen by the id."""
    listed = row["ranking"]
    if not isinstance(listed, list) or len(listed) < 2:
        raise MalformedRow("column 'ranking' is no list of two or more replies, the best first")
    columns = {**row, **{f"ranking[{place}]": item for place, item in enumerate(listed)}}
    prompt, texts = _replies(columns, tuple(f"ranking[{place}]" for place in range(len(listed))))
    if reason := _unusable(prompt, texts):
        return reason
    draw = int.from_bytes(hashlib.sha256(id_.encode()).digest()[:8], "big")
    other = texts[1 + draw % (len(texts) - 1)]
    return Judged(
        Pair(id_, prompt, texts[0], other, category, None, _margin(row)),
        Ranking(id_, prompt, texts, category),
        _rated(row, id_, prompt, texts),
    )


def _replies(row: dict[str, Any], columns: tuple[str, ...]) -> tuple[Conversation, tuple[str, ...]]:
    """Return the prompt that some replies share, and the replies; no prompt where they differ."""
    found = [reply(row, column) for column in columns]
    prompts = [before or conversation(row, "prompt") for before, _ in found]
    same = all(prompt == prompts[0] for prompt in prompts)
    return prompts[0] if same else (), tuple(text for _, text in found)


def _unusable(prompt: Conversation, texts: tuple[str, ...]) -> str:
    """Return why the replies of a well-formed row teach nothing, or an empty string."""
    if not prompt:
        return "prompts_differ"
    if prompt[-1]["role"] != "user":
        return "no_reply_to_a_user"
    if not prompt[-1]["content"].strip():
        return "empty_prompt"
    if not all(text.strip() for text in texts):
        return "empty_reply"
    return "identical_replies" if len(set(texts)) < len(texts) else ""


def _margin(row: Mapping[str, Any]) -> float | None:
    """Return the column ``margin``; an absent, null or empty one says nothing."""
    value = row.get("margin")
    return None if value is None or value == "" else _number(value, "column 'margin'")


def _rated(
    row: Mapping[str, Any], id_: str, prompt: Conversation, texts: tuple[str, ...]
) -> tuple[RatedReply, ...]:
    """Return the ratings of all replies of a row, none where it has no ``attributes``."""
    listed = row.get("attributes")
    if listed is None:
        return ()
    if not isinstance(listed, list) or len(listed) != len(texts):
        needed = f"a list of {len(texts)} objects, one for each reply in the row's order, is needed"
        raise MalformedRow(f"column 'attributes' is {type(listed).__name__}; {needed}")
    category = row.get("category")
    known = category if isinstance(category, str) else None
    return tuple(
        RatedReply(id_, prompt, text, _ratings(item, f"column 'attributes'[{place}]"), known)
        for place, (text, item) in enumerate(zip(texts, listed, strict=True))
    )


def _ratings(value: Any, where: str) -> dict[str, float]:
    """Return the ratings of one reply; null stands for none."""
    if not isinstance(value, Mapping):
        raise MalformedRow(f"{where} is {type(value).__name__}; an object of numbers is needed")
    return {
        str(name): _number(rating, f"{where}, {name!r}")
        for name, rating in value.items()
        if rating is not None
    }


def _number(value: Any, where: str) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise MalformedRow(f"{where} is {value!r:.80}; a finite number is needed")
    return number
