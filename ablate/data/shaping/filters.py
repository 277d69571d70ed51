"""Filters that look at one row at a time, and the two that remember keys of earlier rows."""

from __future__ import annotations

import re
from collections.abc import Callable

from ablate.data.records import Judged
from ablate.data.shaping.items import (
    Item,
    plain,
    preferred_of,
    prompt_key,
    prompt_of,
    replies_of,
    row_key,
    with_replies,
)
from ablate.data.shaping.phrases import REFUSALS
from ablate.data.shaping.truecase import truecased
from ablate.spec.shaping import (
    DuplicateFilter,
    LengthFilter,
    RefusalFilter,
    TieFilter,
    TruecaseFilter,
)

RowFilter = RefusalFilter | TruecaseFilter | LengthFilter | DuplicateFilter | TieFilter
"""The others look at many rows at a time, see `pipeline`."""
Step = Callable[[Item], Item | None]
"""Returns a row, the same or with other text, or None where it is left out."""


def row_filter(config: RowFilter) -> Step:
    """Return a fresh filter, with no row seen."""
    match config:
        case RefusalFilter():
            return _refusals(config)
        case TruecaseFilter():
            return _truecase
        case LengthFilter():
            return _length(config)
        case DuplicateFilter():
            return _duplicates(config)
        case TieFilter():
            return _ties(config)


def _refusals(config: RefusalFilter) -> Step:
    """Return the filter; a phrase counts as whole words, so ``as an ai`` is not in ``as an aid``.

    ``chosen`` looks at what training makes likelier: a disliked reply may refuse.
    """
    phrases = tuple(_spoken(phrase) for phrase in config.phrases or REFUSALS)
    whole = re.compile("|".join(rf"(?<!\w){re.escape(phrase)}(?!\w)" for phrase in phrases))
    looked_at = preferred_of if config.replies == "chosen" else replies_of

    # Few replies have the longest word of a phrase, and fewer the phrase: looking for these first
    # is 100 times faster than the expression, which then decides about borders.
    by_word: dict[str, list[str]] = {}
    for phrase in phrases:
        by_word.setdefault(max(phrase.split(), key=len, default=""), []).append(phrase)

    def refuses(reply: str) -> bool:
        text = _spoken(reply)
        likely = (phrase for word, group in by_word.items() if word in text for phrase in group)
        return any(phrase in text for phrase in likely) and whole.search(text) is not None

    return lambda item: None if any(map(refuses, looked_at(item))) else item


def _spoken(text: str) -> str:
    return plain(text).replace("\u2019", "'")


def _truecase(item: Item) -> Item | None:
    """Return the row with every reply truecased.

    Left out where that makes two replies of a pair or a ranking equal: they differed by case only.
    """
    changed = with_replies(item, truecased)
    if changed is item or not isinstance(changed, Judged):
        return changed
    pair, ranking = changed.pair, changed.ranking
    equal_pair = pair is not None and pair.chosen == pair.rejected
    equal_ranks = ranking is not None and len(set(ranking.replies)) < len(ranking.replies)
    return None if equal_pair or equal_ranks else changed


def _length(config: LengthFilter) -> Step:
    """Return the filter; a prompt is as long as its messages together.

    Words are what spacing separates, so a language without spaces is measured in characters.
    """

    def measure(text: str) -> int:
        return len(text.split()) if config.unit == "words" else len(text)

    def fits(length: int) -> bool:
        return config.min <= length and (config.max is None or length <= config.max)

    def step(item: Item) -> Item | None:
        if config.of == "prompt":
            lengths = [sum(measure(message["content"]) for message in prompt_of(item))]
        else:
            lengths = [measure(reply) for reply in replies_of(item)]
        return item if all(map(fits, lengths)) else None

    return step


def _duplicates(config: DuplicateFilter) -> Step:
    """Return the filter; it holds 16 bytes of each row kept, some 100 with what Python adds."""
    key = prompt_key if config.of == "prompt" else row_key
    seen: set[bytes] = set()

    def step(item: Item) -> Item | None:
        found = key(item)
        if found in seen:
            return None
        seen.add(found)
        return item

    return step


def _ties(config: TieFilter) -> Step:
    def step(item: Item) -> Item | None:
        pair = item.pair if isinstance(item, Judged) else None
        if pair is None or pair.chosen_score is None or pair.rejected_score is None:
            return item
        return None if abs(pair.chosen_score - pair.rejected_score) <= config.gap else item

    return step
