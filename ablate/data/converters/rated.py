"""Replies that a model rated or ranked: UltraFeedback in three forms, Nectar, Capybara, Orca."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ablate.data.converters.common import (
    Columns,
    Context,
    draw,
    judged,
    label,
    mapping,
    objects,
    pair_of,
    row_by_row,
    score,
    two_dialogues,
    two_scores,
)
from ablate.data.converters.hh import alternating, turns
from ablate.data.reading.columns import MalformedRow, number, text
from ablate.data.records import Judged, Pair, Ranking, RatedReply, user


class _Completion(NamedTuple):
    reply: str
    ratings: dict[str, float]
    value: float
    """What the best is chosen by; NaN where it was not rated."""


def _ratings(completion: Columns) -> dict[str, float]:
    """Return the ratings by aspect; those written ``N/A`` are absent."""
    annotations = mapping(completion.get("annotations"), "'annotations'")
    found = {}
    for aspect, said in annotations.items():
        rating = mapping(said, f"'annotations', {aspect!r}").get("Rating")
        if rating is not None and rating != "N/A":
            found[str(aspect)] = number(rating, f"the 'Rating' of {aspect!r}")
    return found


def _mean_of_aspects(completion: Columns) -> _Completion:
    ratings = _ratings(completion)
    value = math.fsum(ratings.values()) / len(ratings) if ratings else math.nan
    return _Completion(text(completion, "response"), ratings, value)


def _overall(completion: Columns) -> _Completion:
    said = completion.get("overall_score")
    value = math.nan if said is None else score(completion, "overall_score")
    return _Completion(text(completion, "response"), _ratings(completion), value)


def _ultrafeedback(
    row: Columns, id_: str, source: str, *, by: Callable[[Columns], _Completion]
) -> Judged | str:
    """Return the best of a prompt's completions against a random other one, and all ratings.

    Rows of openbmb/UltraFeedback. ``by`` the mean of the aspects this is the conversion of Argilla
    (fine-grained), ``by`` the overall score that of H4. Of equally good ones the first is chosen.
    """
    context = Context(id_, source, user(text(row, "instruction")), label(row, "source"))
    found = [by(completion) for completion in objects(row, "completions")]
    usable = [completion for completion in found if not math.isnan(completion.value)]
    if len(usable) < 2:
        return "fewer_than_two_rated"
    best = usable.index(max(usable, key=lambda completion: completion.value))
    chosen = usable.pop(best)
    other = usable[draw(id_, len(usable))]
    replies, scores = (chosen.reply, other.reply), (chosen.value, other.value)
    pair = pair_of(context, replies, scores=scores, margin=True)
    if isinstance(pair, str):
        return pair
    rated = tuple(
        RatedReply(id_, pair.prompt, c.reply.strip(), c.ratings, pair.category, source=source)
        for c in found
        if c.ratings and c.reply.strip()
    )
    return Judged(pair, rated=rated)


def _binarized(
    row: Columns, id_: str, source: str, *, scores: tuple[str, str] | None = None, origin: str = ""
) -> Judged | str:
    """Return the preference of a set that has conversations as ``chosen`` and ``rejected``.

    ``scores`` are the columns with the labeller's ratings, ``origin`` the one that says which set
    the row was taken from.
    """
    context = Context(id_, source, (), label(row, origin) if origin else None)
    found = two_scores(row, scores) if scores is not None else None
    return two_dialogues(row, context, scores=found, margin=True)


def _orca(row: Columns, id_: str, source: str, *, system: bool = False) -> Judged | str:
    """Return the reply of a larger model (chosen) against a smaller one's.

    As published the system prompt is left out, though the replies saw it; ``system`` keeps it.
    """
    asked = user(text(row, "question"))
    said = text(row, "system").strip() if system and row.get("system") else ""
    prompt = ({"role": "system", "content": said}, *asked) if said else asked
    return judged(Context(id_, source, prompt), (text(row, "chosen"), text(row, "rejected")))


def _nectar(row: Columns, id_: str, source: str) -> Judged | str:
    """Return the reply of rank 1 against a random other one, and the ranking.

    There is a ranking where no two ranks and no two replies are equal and no reply is empty.
    """
    asked = alternating(turns(text(row, "prompt")))
    if asked[-1]["role"] == "assistant" and not asked[-1]["content"]:
        asked = asked[:-1]  # The prompt ends in the marker of the reply to come.
    found = [(score(answer, "rank"), text(answer, "answer")) for answer in objects(row, "answers")]
    if len(found) < 2:
        raise MalformedRow(f"column 'answers' has {len(found)} objects; two or more are needed")
    found.sort(key=lambda answer: answer[0])
    replies = tuple(reply.strip() for _, reply in found)
    other = replies[1 + draw(id_, len(replies) - 1)]
    pair = pair_of(Context(id_, source, asked), (replies[0], other))
    if isinstance(pair, str):
        return pair
    distinct = len({rank for rank, _ in found}) == len(set(replies)) == len(found)
    return Judged(pair, _ranking(pair, replies) if distinct and all(replies) else None)


def _ranking(pair: Pair, replies: tuple[str, ...]) -> Ranking:
    return Ranking(pair.id, pair.prompt, replies, source=pair.source)


CONVERTERS = {
    "ultrafeedback": row_by_row(partial(_ultrafeedback, by=_mean_of_aspects)),
    "ultrafeedback_by_overall": row_by_row(partial(_ultrafeedback, by=_overall)),
    "ultrafeedback_argilla": row_by_row(
        partial(_binarized, scores=("chosen-rating", "rejected-rating"), origin="source")
    ),
    "ultrafeedback_h4": row_by_row(partial(_binarized, scores=("score_chosen", "score_rejected"))),
    "capybara": row_by_row(
        partial(_binarized, scores=("rating_chosen", "rating_rejected"), origin="source")
    ),
    "tulu_preferences": row_by_row(partial(_binarized, origin="source")),
    "orca": row_by_row(_orca),
    "orca_with_system": row_by_row(partial(_orca, system=True)),
    "nectar": row_by_row(_nectar),
}
"""By layout."""
