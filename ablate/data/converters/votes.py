"""Two answers and a vote: Chatbot Arena of 2023 and 2024, AlpacaFarm."""

from __future__ import annotations

import json
from typing import Any

from ablate.data.converters.common import (
    Columns,
    Context,
    instruction,
    judged,
    label,
    row_by_row,
    score,
    two_dialogues,
)
from ablate.data.reading.columns import MalformedRow, short, text
from ablate.data.records import Judged

_TIES = ("tie", "tie (bothbad)")


def _arena_2023(row: Columns, id_: str, source: str) -> Judged | str:
    """Return the conversation voted for against the other.

    A conversation of several turns is kept only where both models said the same before: the vote
    is on the whole of it, and no prompt is common to the last replies otherwise.
    """
    winner = text(row, "winner")
    if winner in _TIES:
        return "tie"
    if winner not in ("model_a", "model_b"):
        allowed = ", ".join(map(repr, ("model_a", "model_b", *_TIES)))
        raise MalformedRow(f"column 'winner' is {short(winner)}; {allowed} are allowed")
    columns = ("conversation_a", "conversation_b")
    context = Context(id_, source, (), label(row, "language"))
    return two_dialogues(row, context, columns=columns if winner == "model_a" else columns[::-1])


def _arena_2024(row: Columns, id_: str, source: str) -> Judged | str:
    """Return the replies voted for against the others, as `_arena_2023` does.

    The turns are lists written as JSON inside a text; a turn may be null, and some hold half of a
    surrogate pair, which no file in UTF-8 can.
    """
    votes = [score(row, f"winner_{side}") for side in ("model_a", "model_b", "tie")]
    if sorted(votes) != [0, 0, 1]:
        raise MalformedRow(f"the columns 'winner_*' are {votes}; exactly one of them must be 1")
    if votes[2]:
        return "tie"
    asked, *answers = (_turns(row, name) for name in ("prompt", "response_a", "response_b"))
    if any(_broken(turn) for turns in (asked, *answers) for turn in turns):
        return "broken_text"
    if not asked or any(len(turns) != len(asked) for turns in answers):
        return "no_reply"
    chosen, rejected = answers if votes[0] else answers[::-1]
    columns = {"chosen": _dialogue(asked, chosen), "rejected": _dialogue(asked, rejected)}
    return two_dialogues(columns, Context(id_, source, ()))


def _turns(row: Columns, column: str) -> list[str]:
    """Return a column with turns; null stands for an empty one."""
    written = text(row, column)
    try:
        turns: Any = json.loads(written)
    except (ValueError, RecursionError):
        turns = None
    if not isinstance(turns, list) or not all(t is None or isinstance(t, str) for t in turns):
        raise MalformedRow(f"column {column!r} is {short(written)}; a JSON list of texts is needed")
    return [turn or "" for turn in turns]


def _broken(turn: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in turn)


def _dialogue(asked: list[str], answered: list[str]) -> list[dict[str, str]]:
    return [
        {"role": role, "content": content}
        for turns in zip(asked, answered, strict=True)
        for role, content in zip(("user", "assistant"), turns, strict=True)
    ]


def _alpaca_farm(row: Columns, id_: str, source: str) -> Judged | str:
    """Return the output that ``preference``, 1 or 2, names; 0 and 1.5 are draws."""
    if row.get("preference") is None:
        return "no_preference"
    preferred = score(row, "preference")
    if preferred in (0, 1.5):
        return "tie"
    if preferred not in (1, 2):
        found = short(row["preference"])
        raise MalformedRow(f"column 'preference' is {found}; 1, 2 and 0 or 1.5 are allowed")
    replies = text(row, "output_1"), text(row, "output_2")
    context = Context(id_, source, instruction(row))
    return judged(context, replies if preferred == 1 else replies[::-1])


CONVERTERS = {
    "chatbot_arena": row_by_row(_arena_2023),
    "arena_55k": row_by_row(_arena_2024),
    "alpaca_farm": row_by_row(_alpaca_farm),
}
"""By layout."""
