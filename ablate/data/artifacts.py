"""What data stages leave and later stages read: one JSON line for each record."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from ablate.data.records import (
    Demonstration,
    Feedback,
    Judged,
    Pair,
    Prompt,
    Ranking,
    RatedReply,
)
from ablate.data.shaping.items import Item

PAIRS = "pairs.jsonl"
RANKINGS = "rankings.jsonl"
ATTRIBUTES = "attributes.jsonl"
FEEDBACK = "feedback.jsonl"
DEMONSTRATIONS = "demonstrations.jsonl"
PROMPTS = "prompts.jsonl"
DROPPED = "dropped.jsonl"
CARD = "card.json"
SUMMARY = "summary.json"

Record = Pair | Ranking | RatedReply | Feedback | Demonstration | Prompt
_CLASSES: dict[str, type[Record]] = {
    PAIRS: Pair,
    RANKINGS: Ranking,
    ATTRIBUTES: RatedReply,
    FEEDBACK: Feedback,
    DEMONSTRATIONS: Demonstration,
    PROMPTS: Prompt,
}
UNSAID: dict[str, str | None] = {
    **dict.fromkeys(("margin", "chosen_score", "rejected_score", "target")),
    "source": "",
}
"""Fields that are left out of a line where nobody said them."""


class ItemWriter:
    """Writes rows as they come; a file is there only where a row has a record for it."""

    def __init__(self, folder: Path) -> None:
        """Write into an existing folder."""
        self.folder = folder
        self.counts: Counter[str] = Counter()
        """Records by file."""
        self.labels = 0
        """Preferences that the rows took to label."""
        self._open = ExitStack()
        self._files: dict[str, TextIO] = {}

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every file."""
        self._open.close()

    def add(self, item: Item) -> None:
        """Write one row."""
        if isinstance(item, Demonstration):
            self._write(DEMONSTRATIONS, item)
        elif isinstance(item, Prompt):
            self._write(PROMPTS, item)
        else:
            self.labels += item.labels
            for name, record in (
                (PAIRS, item.pair),
                (RANKINGS, item.ranking),
                (FEEDBACK, item.feedback),
            ):
                if record is not None:
                    self._write(name, record)
            for rated in item.rated:
                self._write(ATTRIBUTES, rated)

    def _write(self, name: str, record: Record) -> None:
        if name not in self._files:
            file = open(self.folder / name, "w", encoding="utf-8", newline="\n")
            self._files[name] = self._open.enter_context(file)
        said = {k: v for k, v in asdict(record).items() if k not in UNSAID or v != UNSAID[k]}
        self._files[name].write(json.dumps(said, ensure_ascii=False) + "\n")
        self.counts[name] += 1


def read_records(folder: Path, name: str) -> Iterator[Any]:
    """Yield the records of one file of a data artifact in their order; none where it is absent."""
    if not (folder / name).exists():
        return
    make: Callable[..., Record] = _CLASSES[name]
    said = "messages" if name == PROMPTS else "prompt"
    with open(folder / name, encoding="utf-8") as file:
        # Not splitlines, which also splits at U+2028 and the like inside a reply.
        for line in file:
            fields = json.loads(line)
            fields[said] = tuple(fields[said])
            if name == RANKINGS:
                fields["replies"] = tuple(fields["replies"])
            yield make(**fields)


def read_items(folder: Path) -> Iterator[Item]:
    """Yield everything that a data artifact says, each record as a row of its own."""
    for pair in read_records(folder, PAIRS):
        yield Judged(pair)
    for ranking in read_records(folder, RANKINGS):
        yield Judged(ranking=ranking)
    for rated in read_records(folder, ATTRIBUTES):
        yield Judged(rated=(rated,))
    for feedback in read_records(folder, FEEDBACK):
        yield Judged(feedback=feedback)
    yield from read_records(folder, DEMONSTRATIONS)
    yield from read_records(folder, PROMPTS)
