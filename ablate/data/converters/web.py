"""Preferences of web communities: SHP-2 and StackExchange."""

from __future__ import annotations

from ablate.data.converters.common import (
    Columns,
    Context,
    judged,
    label,
    row_by_row,
    score,
    two_scores,
)
from ablate.data.reading.columns import MalformedRow, short, text
from ablate.data.records import Judged, user


def _shp(row: Columns, id_: str, source: str) -> Judged | str:
    """Return the comment that more readers voted for against the other.

    ``labels`` is 1 where A is preferred and 0 where B is (card of stanfordnlp/SHP-2).
    """
    context = Context(id_, source, user(text(row, "history")), label(row, "domain"))
    replies = text(row, "human_ref_A"), text(row, "human_ref_B")
    scores = two_scores(row, ("score_A", "score_B"))
    preferred = score(row, "labels")
    if preferred not in (0, 1):
        raise MalformedRow(f"column 'labels' is {short(row['labels'])}; 0 and 1 are allowed")
    if preferred == 1:
        return judged(context, replies, scores=scores)
    return judged(context, replies[::-1], scores=scores and scores[::-1])


def _stack_exchange(row: Columns, id_: str, source: str) -> Judged | str:
    """Return ``response_j``, the answer with more votes, against ``response_k``."""
    context = Context(id_, source, user(text(row, "question")))
    return judged(context, (text(row, "response_j"), text(row, "response_k")))


CONVERTERS = {"shp": row_by_row(_shp), "stack_exchange": row_by_row(_stack_exchange)}
"""By layout."""
