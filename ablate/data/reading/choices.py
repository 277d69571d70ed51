"""Rows in which somebody chose: between two replies, among several, or a thumb up or down."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ablate.data.reading.columns import (
    MalformedRow,
    category_of,
    drop_reason,
    number,
    prompt_of,
    reply,
    short,
)
from ablate.data.reading.preference_rows import drawn, listed_replies, unusable
from ablate.data.records import Feedback, Judged, Pair, Ranking

TWO_REPLIES = (
    ("response_0", "response_1"),
    ("response_1", "response_2"),
    ("response_a", "response_b"),
    ("output_1", "output_2"),
    ("answer_0", "answer_1"),
)
"""Columns of two replies; what follows the underscore is how a choice names them."""
CHOICES = ("label", "better_response_id", "preference", "winner", "choice")
"""Columns that say which of two replies is better."""
REPLY_LISTS = ("responses", "replies", "answers", "completions", "outputs")
RANKS = ("ranks", "rank")
"""Places of listed replies, 1 for the best."""
SCORES = ("scores", "ratings")
"""Scores of listed replies, higher is better."""
THUMBS = ("label", "kto_tag", "liked", "thumbs_up")
REPLIES = ("completion", "response", "output", "answer")
"""Columns with the one reply of a row, the first that it has."""
_UP = ("true", "1", "1.0", "up", "thumbs_up", "yes", "good", "desirable")
_DOWN = ("false", "0", "0.0", "down", "thumbs_down", "no", "bad", "undesirable")


def first_of(columns: Collection[str], names: tuple[str, ...]) -> str:
    """Return the first of some names that is a column; an empty string where none is."""
    return next((name for name in names if name in columns), "")


def two_of(columns: Collection[str]) -> tuple[str, str] | None:
    """Return the columns of two replies, None where there are none."""
    return next((pair for pair in TWO_REPLIES if pair[0] in columns and pair[1] in columns), None)


def chosen_of_two(row: Mapping[str, Any], id_: str, source: str) -> Judged | str:
    """Return the pair of a row with two replies and a choice."""
    names = two_of(row)
    if names is None:
        listed = ", ".join(" and ".join(pair) for pair in TWO_REPLIES)
        raise MalformedRow(f"two replies are needed, in columns {listed}")
    winner = _winner(row, first_of(row, CHOICES) or CHOICES[0], names)
    if isinstance(winner, str):
        return winner
    return _pair(row, id_, source, (names[winner], names[1 - winner]))


def better_first(row: Mapping[str, Any], id_: str, source: str) -> Judged | str:
    """Return the pair of a row of StackExchange's: ``response_j`` was preferred."""
    return _pair(row, id_, source, ("response_j", "response_k"))


def _pair(row: Mapping[str, Any], id_: str, source: str, columns: tuple[str, str]) -> Judged | str:
    (before_chosen, chosen), (before_rejected, rejected) = (reply(row, name) for name in columns)
    if not before_chosen and not before_rejected:
        before_chosen = before_rejected = prompt_of(row)
    if reason := drop_reason((before_chosen, before_rejected), (chosen, rejected)):
        return reason
    return Judged(Pair(id_, before_chosen, chosen, rejected, category_of(row), source=source))


def _winner(row: Mapping[str, Any], column: str, names: tuple[str, str]) -> int | str:
    """Return the place of the better reply, or the reason to drop the row."""
    value = row.get(column)
    if value is None or value == "":
        return "no_label"
    said = _word(value)
    short_names = names[0].rpartition("_")[2], names[1].rpartition("_")[2]
    for place, (name, last) in enumerate(zip(names, short_names, strict=True)):
        if said in (name, last):
            return place
    # AlpacaEval writes a draw as 0 or 1.5 where 1 and 2 are the replies.
    draws = {("0", "1"): ["0.5"], ("1", "2"): ["0", "1.5"]}.get(short_names, [])
    if said in ("tie", "both", *draws):
        return "tie"
    allowed = ", ".join((*short_names, *names, "tie"))
    raise MalformedRow(f"column {column!r} is {short(value)}; {allowed} are allowed")


def _word(value: Any) -> str:
    """Return a choice as people write it: 1.0, True and ``1`` are ``1``."""
    if isinstance(value, str):
        return value.strip().casefold().removesuffix(".0")
    return short(int(value) if isinstance(value, bool) else value).removesuffix(".0")


def ordered_replies(row: Mapping[str, Any], id_: str, source: str) -> Judged | str:
    """Return the ranking that ranks or scores of listed replies make, and a pair of it.

    The pair is the best reply against one that is worse, decided by the id. Replies that are level
    make no ranking, and no pair where they are the best.
    """
    column = first_of(row, REPLY_LISTS) or REPLY_LISTS[0]
    order = first_of(row, (*RANKS, *SCORES)) or RANKS[0]
    levels = _levels(row, column, order)
    prompt, texts = listed_replies(row, column)
    if reason := unusable(prompt, texts):
        return reason
    ranked = sorted(range(len(texts)), key=lambda place: levels[place], reverse=True)
    best = ranked[0]
    worse = [place for place in ranked if levels[place] < levels[best]]
    if len(worse) < len(ranked) - 1:
        return "tie"
    other = worse[drawn(id_, len(worse))]
    scored = order in SCORES
    pair = Pair(
        id_,
        prompt,
        texts[best],
        texts[other],
        category_of(row),
        source=source,
        chosen_score=levels[best] if scored else None,
        rejected_score=levels[other] if scored else None,
    )
    replies = tuple(texts[place] for place in ranked)
    ranking = Ranking(id_, prompt, replies, pair.category, source=source)
    return Judged(pair, ranking if len(set(levels)) == len(levels) else None)


def _levels(row: Mapping[str, Any], column: str, order: str) -> list[float]:
    """Return how good each listed reply is: its score, or its rank with the sign turned."""
    replies, said = row.get(column), row.get(order)
    if not isinstance(replies, list) or len(replies) < 2:
        raise MalformedRow(f"column {column!r} is no list of two or more replies")
    if not isinstance(said, list) or len(said) != len(replies):
        needed = f"a list of {len(replies)} numbers, one for each reply, is needed"
        raise MalformedRow(f"column {order!r} is {type(said).__name__}; {needed}")
    found = [number(item, f"column {order!r}[{place}]") for place, item in enumerate(said)]
    return [-rank for rank in found] if order in RANKS else found


def thumb(value: Any) -> bool | None:
    """Return what a thumb says; None where it says nothing."""
    said = str(value).casefold() if isinstance(value, bool | int | float | str) else ""
    return True if said in _UP else False if said in _DOWN else None


def liked(row: Mapping[str, Any], id_: str, source: str) -> Judged | str:
    """Return the reply of a row with a thumb: of messages, or after a prompt."""
    column = first_of(row, THUMBS) or THUMBS[0]
    if row.get(column) is None:
        return "no_label"
    up = thumb(row[column])
    if up is None:
        raise MalformedRow(f"column {column!r} is {short(row[column])}; true and false are allowed")
    name = first_of(row, REPLIES) or first_of(row, ("messages", "conversations")) or REPLIES[0]
    before, text = reply(row, name)
    prompt = before or prompt_of(row)
    if reason := unusable(prompt, (text,)):
        return reason
    return Judged(feedback=Feedback(id_, prompt, text, up, category_of(row), None, source))
