"""Preferences as annotators left them: OASST ranks and fine-grained feedback on answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any

from ablate.data.converters.common import Columns, Context, judged, row_by_row, score
from ablate.data.reading.columns import Conversation, MalformedRow, conversation, short, text
from ablate.data.reading.limits import Row
from ablate.data.records import Dropped, Judged, user
from ablate.data.shaping.items import Item

PREDICTIONS = tuple(f"prediction {place}" for place in range(1, 5))
_VOTES = tuple(combinations(range(4), 2))
"""The pairs of predictions that the six votes are on, in the file's order."""


def _oasst(row: Columns, id_: str, source: str) -> Judged | str:
    """Return two replies to one message, ranked by people; 0 is the best rank.

    The scores are the ranks with their sign turned.
    """
    context = Context(id_, source, conversation(row, "prompt"))
    scores = -score(row, "chosen_rank"), -score(row, "rejected_rank")
    return judged(context, (text(row, "chosen"), text(row, "rejected")), scores=scores)


def _finegrained_qa(rows: Iterable[Row], source: str) -> Iterator[Item | Dropped]:
    """Yield a preference for each of the six votes on a question's four answers, ties dropped.

    A vote is 1 for the first of the two, 2 for the second and 0 for a tie (Wu et al. 2023,
    arXiv:2306.01693). Of row 7 the vote on the second and the third answer is ``NAME-2v3-7``.
    """
    for number, row in rows:
        prompt = _question(row)
        answers = [text(row, name) for name in PREDICTIONS]
        votes = row.get("preference")
        if not isinstance(votes, list) or len(votes) != 6 or not all(v in (0, 1, 2) for v in votes):
            found = short(votes) if not isinstance(votes, list) else repr(votes)[:80]
            raise MalformedRow(f"column 'preference' is {found}; six of 0, 1 and 2 are needed")
        for (first, second), vote in zip(_VOTES, votes, strict=True):
            context = Context(f"{source}-{first + 1}v{second + 1}-{number}", source, prompt)
            better, worse = (first, second) if vote == 1 else (second, first)
            item = judged(context, (answers[better], answers[worse])) if vote else "tie"
            yield Dropped(number, item) if isinstance(item, str) else item


def _question(row: Columns) -> Conversation:
    """Return the question and, after blank lines, the passages that its answers rest on.

    A passage is a list of its page's title and some of its sentences; the first sentence often
    repeats the title.
    """
    passages = row.get("passages")
    if not isinstance(passages, list):
        raise MalformedRow(f"column 'passages' is {short(passages)}; a list of lists is needed")
    return user("\n\n".join((text(row, "question"), *map(_passage, passages))))


def _passage(lines: Any) -> str:
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines) or not lines:
        raise MalformedRow("a passage in column 'passages' is no list of texts, title first")
    title, *sentences = lines
    body = " ".join(sentences)
    return body if body.startswith(title) else f"{title}\n\n{body}"


CONVERTERS = {"oasst_pairs": row_by_row(_oasst), "finegrained_qa": _finegrained_qa}
"""By layout."""
