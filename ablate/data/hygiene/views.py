"""A row as the checks see it: its texts by part, and their lengths in words of any language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ablate.data.hygiene.words import words_of
from ablate.data.records import Judged, Messages, Pair
from ablate.data.shaping.items import Item, leading, prompt_of, replies_of

_BATCH_CHARACTERS = 1 << 19
_EMPTY_TEXT = 100
"""What a text counts beside its characters, so that empty ones are not held without end."""


class Text(NamedTuple):
    """A text of a row."""

    part: str
    """``prompt``, or what the reply is: chosen, rejected, liked, disliked, completion or reply."""
    text: str
    """As it is; a prompt's messages are joined by line breaks."""
    words: int
    """As `words_of` counts them."""


@dataclass(frozen=True)
class View:
    """A row with its texts."""

    item: Item
    """The row itself."""
    texts: tuple[Text, ...]
    """The prompt first, then the different replies, preferred ones first."""

    @property
    def id(self) -> str:
        """Return the row's id."""
        return leading(self.item).id

    @property
    def prompt(self) -> Messages:
        """Return the row's prompt."""
        return prompt_of(self.item)

    @property
    def pair(self) -> Pair | None:
        """Return the row's pair, None where it has none."""
        return self.item.pair if isinstance(self.item, Judged) else None

    def of(self, part: str) -> Text | None:
        """Return the first text of a part."""
        return next((text for text in self.texts if text.part == part), None)


def views(items: Iterable[Item]) -> Iterator[View]:
    """Yield the views of rows, in order; words are counted for some hundred rows at a time."""
    batch: list[tuple[Item, list[tuple[str, str]]]] = []
    size = 0
    for item in items:
        texts = _texts(item)
        batch.append((item, texts))
        size += sum(len(text) + _EMPTY_TEXT for _, text in texts)
        if size >= _BATCH_CHARACTERS:
            yield from _counted(batch)
            batch, size = [], 0
    yield from _counted(batch)


def _counted(batch: list[tuple[Item, list[tuple[str, str]]]]) -> Iterator[View]:
    counts = iter(words_of([text for _, texts in batch for _, text in texts]).counts.tolist())
    for item, texts in batch:
        yield View(item, tuple(Text(part, text, next(counts)) for part, text in texts))


def _texts(item: Item) -> list[tuple[str, str]]:
    prompt = "\n".join(message["content"] for message in prompt_of(item))
    return [("prompt", prompt), *zip(_parts(item), replies_of(item), strict=True)]


def _parts(item: Item) -> list[str]:
    """Return the names of the replies, in the order of `replies_of`."""
    if not isinstance(item, Judged):
        return ["completion"] * len(replies_of(item))
    names: dict[str, str] = {}
    if item.pair is not None:
        # Two equal replies are one text; it is then counted as the chosen one.
        names = {item.pair.rejected: "rejected", item.pair.chosen: "chosen"}
    if item.feedback is not None:
        names.setdefault(item.feedback.reply, "liked" if item.feedback.liked else "disliked")
    return [names.get(reply, "reply") for reply in replies_of(item)]
