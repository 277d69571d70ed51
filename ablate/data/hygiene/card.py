"""The data card: what a data set holds, what was left out of it, and what the checks found."""

from __future__ import annotations

import json
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ablate.data.hygiene.check import NAMED, UNDEFINED, Check
from ablate.data.hygiene.checks import tallies, unusable_rows
from ablate.data.hygiene.views import View, views
from ablate.data.records import Dropped, Judged
from ablate.data.shaping.items import Item, leading, prompt_of, replies_of
from ablate.data.shaping.ledger import Count, Ledger

_BATCH_CHARACTERS = 1 << 19
_EMPTY_ROW = 100
"""What a message counts beside its text, so that empty ones are not held without end."""
_EXAMPLE_CHARACTERS = 4000
"""Kept of each text of the example."""
_MOST_SOURCES = 1000
WISHED = ("filter:", "in_")
"""Reasons that begin so were wished for: a filter, or rows of a held-out part. The others are
faults of the rows."""
OTHERS = "(others)"
"""Stands for names beyond the first thousand."""


@dataclass(frozen=True)
class Spread:
    """How a length is distributed over texts; NaN without texts."""

    mean: float = UNDEFINED
    median: float = UNDEFINED
    p95: float = UNDEFINED
    max: float = UNDEFINED


@dataclass(frozen=True)
class Lengths:
    """The lengths of one part of the rows."""

    part: str
    """``prompt``, ``chosen``, ``rejected``, ``completion``, ..."""
    texts: int
    words: Spread
    """In words of any language, as `words_of` counts them."""
    characters: Spread


@dataclass(frozen=True)
class Example:
    """A text of a row."""

    part: str
    """As in `Lengths`."""
    text: str
    """Its beginning, 4,000 characters at most."""
    characters: int
    """Of the whole text."""


@dataclass(frozen=True)
class Card:
    """What is known of a data set without training on it."""

    name: str
    rows: int
    """That are used."""
    holds: Mapping[str, int] = field(default_factory=dict)
    """Rows by what they hold: pairs, rankings, ratings, thumbs; several turns, scores, ..."""
    sources: Mapping[str, int] = field(default_factory=dict)
    """Rows by the data set that they come from."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Rows left out, by reason."""
    filters: tuple[Count, ...] = ()
    """What each filter, cap or mixture left, in order."""
    lengths: tuple[Lengths, ...] = ()
    example: tuple[Example, ...] = ()
    """The texts of the first row."""
    checks: tuple[Check, ...] = ()

    def to_json(self) -> str:
        """Return the content of ``card.json``: ASCII alone, and null for undefined numbers."""
        return json.dumps(_without_nan(asdict(self)), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Return the card that `to_json` wrote."""
        said: dict[str, Any] = json.loads(text)
        said["filters"] = tuple(Count(**count) for count in said["filters"])
        said["lengths"] = tuple(
            Lengths(
                part["part"], part["texts"], _spread(part["words"]), _spread(part["characters"])
            )
            for part in said["lengths"]
        )
        said["example"] = tuple(Example(**example) for example in said["example"])
        said["checks"] = tuple(
            Check(**{**c, "value": _number(c["value"]), "rows": tuple(c["rows"])})
            for c in said["checks"]
        )
        return cls(**said)


class CardBuilder:
    """Makes a card in one pass over a data set.

    For each row it holds a few numbers and two hashes, some 250 bytes, and no text.
    """

    def __init__(self, name: str) -> None:
        """Start without rows."""
        self._name = name
        self._rows = 0
        self._holds: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._dropped_rows: list[str] = []
        self._lengths: dict[str, tuple[array[int], array[int]]] = {}
        self._example: tuple[Example, ...] = ()
        self._tallies = tallies()
        self._waiting: list[Item] = []
        self._size = 0

    def add(self, item: Item | Dropped) -> None:
        """Take a row, or one that was left out."""
        if isinstance(item, Dropped):
            self._dropped[item.reason] += 1
            if len(self._dropped_rows) < NAMED:
                self._dropped_rows.append(f"row {item.row}: {item.reason}")
            return
        self._waiting.append(item)
        self._size += sum(map(len, replies_of(item))) + sum(
            len(message["content"]) + _EMPTY_ROW for message in prompt_of(item)
        )
        if self._size >= _BATCH_CHARACTERS:
            self._flush()

    def card(self, *, ledger: Ledger | None = None, checks: Iterable[Check] = ()) -> Card:
        """Return the card of the rows so far.

        A ledger says what was left out and done before the rows came here, in place of what `add`
        was told; ``checks`` that others made stand at the end.
        """
        self._flush()
        dropped = self._dropped if ledger is None else ledger.dropped
        usable = self._rows if ledger is None else ledger.read.total()
        unusable = unusable_rows(faults(dropped), usable, self._dropped_rows)
        return Card(
            self._name,
            self._rows,
            holds={what: self._holds[what] for what in sorted(self._holds)},
            sources=dict(sorted(self._sources.items())),
            dropped=dict(sorted(dropped.items())),
            filters=() if ledger is None else tuple(ledger.steps),
            lengths=tuple(_lengths(part, *both) for part, both in self._lengths.items()),
            example=self._example,
            checks=(unusable, *(tally.check() for tally in self._tallies), *checks),
        )

    def _flush(self) -> None:
        for view in views(self._waiting):
            self._take(view)
        self._waiting, self._size = [], 0

    def _take(self, view: View) -> None:
        self._rows += 1
        if not self._example:
            self._example = tuple(
                Example(t.part, t.text[:_EXAMPLE_CHARACTERS], len(t.text)) for t in view.texts
            )
        _count(self._sources, leading(view.item).source, _MOST_SOURCES)
        self._holds.update(_contents(view))
        for text in view.texts:
            words, characters = self._lengths.setdefault(text.part, (array("q"), array("q")))
            words.append(text.words)
            characters.append(len(text.text))
        for tally in self._tallies:
            tally.add(view)


def faults(dropped: Mapping[str, int]) -> dict[str, int]:
    """Return the rows left out for what they are, by reason."""
    return {reason: n for reason, n in dropped.items() if not reason.startswith(WISHED)}


def _count(counts: Counter[str], name: str, most: int) -> None:
    counts[name if name in counts or len(counts) < most else OTHERS] += 1


def _contents(view: View) -> list[str]:
    """Return what a row holds, in words for counting."""
    record, item, pair = leading(view.item), view.item, view.pair
    found = {
        "pairs": pair is not None,
        "scores of both replies": pair is not None
        and pair.chosen_score is not None
        and pair.rejected_score is not None,
        "margins": pair is not None and pair.margin is not None,
        "categories": record.category is not None,
        "several turns": sum(message["role"] == "user" for message in view.prompt) > 1,
        "targets": getattr(record, "target", None) is not None,
    }
    if isinstance(item, Judged):
        found["rankings"] = item.ranking is not None
        found["ratings"] = bool(item.rated)
        found["thumbs up"] = item.feedback is not None and item.feedback.liked
        found["thumbs down"] = item.feedback is not None and not item.feedback.liked
    return [name for name, there in found.items() if there]


def _lengths(part: str, words: array[int], characters: array[int]) -> Lengths:
    return Lengths(part, len(words), _summary(words), _summary(characters))


def _summary(values: array[int]) -> Spread:
    numbers = np.array(values)
    median, p95 = np.quantile(numbers, [0.5, 0.95]).tolist()
    return Spread(float(numbers.mean()), median, p95, float(numbers.max()))


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    return [_without_nan(item) for item in value] if isinstance(value, list | tuple) else value


def _number(value: float | None) -> float:
    return UNDEFINED if value is None else value


def _spread(said: Mapping[str, float | None]) -> Spread:
    return Spread(**{name: _number(value) for name, value in said.items()})
