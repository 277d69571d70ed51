"""Rows of preference files: a pair, a ranking, ratings, or several of these at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ablate.data.reading.columns import (
    Conversation,
    MalformedRow,
    category_of,
    drop_reason,
    number,
    prompt_of,
    reply,
)
from ablate.data.records import Judged, Pair, Ranking, RatedReply

CHOSEN_SCORES = ("chosen_score", "score_chosen", "chosen_rating")
REJECTED_SCORES = ("rejected_score", "score_rejected", "rejected_rating")


def judged_row(row: Mapping[str, Any], id_: str, source: str = "") -> Judged | str:
    """Return what a row says, or the reason to drop it.

    A row has ``chosen`` and ``rejected``, or ``ranking`` (replies, best first), or one rated
    ``completion``; each reply is a string or messages. Replies may be whole conversations; the
    prompt is then what comes before the last message, and a ``prompt`` column is not needed.
    ``margin`` says how much better the chosen reply is, ``chosen_score`` and ``rejected_score``
    what each was given. ``attributes`` holds ratings by name: an object for a ``completion``, else
    a list with one for each reply in the row's order.
    """
    if row.get("ranking") is not None:
        return _ranked(row, id_, source)
    if row.get("chosen") is None and row.get("completion") is not None:
        prompt, (text,) = _replies(row, ("completion",))
        if reason := unusable(prompt, (text,)):
            return reason
        ratings = _ratings(row.get("attributes"), "column 'attributes'")
        return Judged(
            rated=(RatedReply(id_, prompt, text, ratings, category_of(row), None, source),)
        )
    before_chosen, chosen = reply(row, "chosen")
    before_rejected, rejected = reply(row, "rejected")
    if not before_chosen and not before_rejected:
        before_chosen = before_rejected = prompt_of(row)
    if reason := drop_reason((before_chosen, before_rejected), (chosen, rejected)):
        return reason
    pair = Pair(
        id_,
        before_chosen,
        chosen,
        rejected,
        category_of(row),
        margin=_stated(row, ("margin",)),
        source=source,
        chosen_score=_stated(row, CHOSEN_SCORES),
        rejected_score=_stated(row, REJECTED_SCORES),
    )
    return Judged(pair, rated=_rated(row, id_, source, before_chosen, (chosen, rejected)))


def _ranked(row: Mapping[str, Any], id_: str, source: str) -> Judged | str:
    """Return a ranking with a pair: its best reply against one of the others, chosen by the id."""
    listed = row["ranking"]
    if not isinstance(listed, list) or len(listed) < 2:
        raise MalformedRow("column 'ranking' is no list of two or more replies, the best first")
    prompt, texts = listed_replies(row, "ranking")
    if reason := unusable(prompt, texts):
        return reason
    category = category_of(row)
    other = texts[1 + drawn(id_, len(texts) - 1)]
    margin = _stated(row, ("margin",))
    return Judged(
        Pair(id_, prompt, texts[0], other, category, margin=margin, source=source),
        Ranking(id_, prompt, texts, category, source=source),
        _rated(row, id_, source, prompt, texts),
    )


def drawn(id_: str, options: int) -> int:
    """Return one of the numbers below ``options``, decided by the id alone."""
    return int.from_bytes(hashlib.sha256(id_.encode()).digest()[:8], "big") % options


def listed_replies(row: Mapping[str, Any], column: str) -> tuple[Conversation, tuple[str, ...]]:
    """Return the prompt that the replies of a list share, and the replies."""
    items = {f"{column}[{place}]": item for place, item in enumerate(row[column])}
    return _replies({**row, **items}, tuple(items))


def _replies(
    row: Mapping[str, Any], columns: tuple[str, ...]
) -> tuple[Conversation, tuple[str, ...]]:
    """Return the prompt that some replies share, and the replies; no prompt where they differ."""
    found = [reply(row, column) for column in columns]
    prompts = [before or prompt_of(row) for before, _ in found]
    same = all(prompt == prompts[0] for prompt in prompts)
    return prompts[0] if same else (), tuple(text for _, text in found)


def unusable(prompt: Conversation, texts: tuple[str, ...]) -> str:
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


def _stated(row: Mapping[str, Any], columns: tuple[str, ...]) -> float | None:
    """Return the number in the first of some columns; absent, null or empty ones say nothing."""
    said = (name for name in columns if row.get(name) is not None and row[name] != "")
    name = next(said, None)
    return None if name is None else number(row[name], f"column {name!r}")


def _rated(
    row: Mapping[str, Any], id_: str, source: str, prompt: Conversation, texts: tuple[str, ...]
) -> tuple[RatedReply, ...]:
    """Return the ratings of all replies of a row, none where it has no ``attributes``."""
    listed = row.get("attributes")
    if listed is None:
        return ()
    if not isinstance(listed, list) or len(listed) != len(texts):
        needed = f"a list of {len(texts)} objects, one for each reply in the row's order, is needed"
        raise MalformedRow(f"column 'attributes' is {type(listed).__name__}; {needed}")
    ratings = [_ratings(item, f"column 'attributes'[{place}]") for place, item in enumerate(listed)]
    return tuple(
        RatedReply(id_, prompt, text, rating, category_of(row), None, source)
        for text, rating in zip(texts, ratings, strict=True)
    )


def _ratings(value: Any, where: str) -> dict[str, float]:
    """Return the ratings of one reply; null stands for none."""
    if not isinstance(value, Mapping):
        raise MalformedRow(f"{where} is {type(value).__name__}; an object of numbers is needed")
    return {
        str(name): number(rating, f"{where}, {name!r}")
        for name, rating in value.items()
        if rating is not None
    }
