"""What rows of data sets hold of evaluation items, on which side, and how much of each suite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from ablate.data.hygiene.contamination import BATCH_CHARACTERS, LEAST, Index, Kind
from ablate.data.records import Document
from ablate.data.shaping.items import Item, leading, prompt_of, replies_of

Side = Literal["prompt", "reply"]
Part = Literal["prompt", "target"]


@dataclass(frozen=True, order=True)
class Finding:
    """A row that holds an item of a suite."""

    suite: str
    item: str
    """The item's id."""
    row: str
    """The row's id."""
    side: Side
    """Where in the row it is."""
    kind: Kind
    """Whether the item is there as a whole, or only n-grams of it."""
    share: float
    """Fraction of the item's words that are covered."""


class Suites:
    """The items of one or more suites, ready to be looked for in rows.

    An item is the text of its messages (or its target), system prompts apart: those are often the
    same for a whole suite.
    """

    def __init__(
        self,
        suites: Mapping[str, Sequence[Document]],
        *,
        part: Part = "prompt",
        n: int = 8,
        threshold: float = 0.5,
    ) -> None:
        """Take the suites; an item without a target is left out where targets are looked for."""
        named = [
            (suite, document.id, text)
            for suite, documents in suites.items()
            for document in documents
            if (text := document_text(document, part)) is not None
        ]
        self.sizes = {suite: sum(name == suite for name, _, _ in named) for suite in suites}
        """Items of each suite."""
        self._named = [(suite, id_) for suite, id_, _ in named]
        texts = [text for _, _, text in named]
        ids = [id_ for _, id_, _ in named]
        self.index = Index(texts, ids, n=n, threshold=threshold, least=min(n, LEAST))
        """The items of all suites."""

    def findings(self, items: Iterable[Item]) -> Iterator[tuple[Item, tuple[Finding, ...]]]:
        """Yield every row with what it holds, in order; memory stays bounded."""
        batch: list[Item] = []
        size = 0
        for item in items:
            batch.append(item)
            # A row counts for something even if all its texts are empty.
            size += 100 + sum(len(text) for _, text in sides(item))
            if size >= BATCH_CHARACTERS:
                yield from self._found(batch)
                batch, size = [], 0
        yield from self._found(batch)

    def _found(self, batch: Sequence[Item]) -> Iterator[tuple[Item, tuple[Finding, ...]]]:
        texts = [(row, side, text) for row, item in enumerate(batch) for side, text in sides(item)]
        found: list[list[Finding]] = [[] for _ in batch]
        for match in self.index.matches([text for _, _, text in texts]):
            row, side, _ = texts[match.text]
            suite, id_ = self._named[match.item]
            name = leading(batch[row]).id
            found[row].append(Finding(suite, id_, name, side, match.kind, match.share))
        for item, findings in zip(batch, found, strict=True):
            yield item, tuple(findings)

    def matches(self, text: str) -> bool:
        """Return whether a text holds any item; `findings` is five times as fast for many."""
        return bool(self.index.matches([text]))


def document_text(document: Document, part: Part = "prompt") -> str | None:
    """Return what an evaluation item is recognized by; None for the target of one without."""
    if part == "target":
        return document.target
    said = [m["content"] for m in document.messages if m["role"] != "system"]
    return "\n".join(said or [m["content"] for m in document.messages])


def sides(item: Item) -> tuple[tuple[Side, str], ...]:
    """Return the texts of a row: its whole prompt, and each different reply."""
    prompt = "\n".join(message["content"] for message in prompt_of(item))
    return ("prompt", prompt), *(("reply", reply) for reply in replies_of(item))


@dataclass
class Exposure:
    """What one data set holds of one suite."""

    training: str
    suite: str
    items: int
    """Of the suite."""
    rows: int = 0
    """Of the data set that hold any of the suite's items."""
    best: dict[str, Finding] = field(default_factory=dict)
    """For each item found its best match: whole before parts, the larger share, the first row."""

    def count(self, kind: Kind) -> int:
        """Return how many of the suite's items were found in this way at best."""
        return sum(finding.kind == kind for finding in self.best.values())

    @property
    def share(self) -> float:
        """Fraction of the suite's items that were found; NaN for a suite without items."""
        return len(self.best) / self.items if self.items else float("nan")

    def add(self, findings: Iterable[Finding]) -> None:
        """Count what one row holds of the suite."""
        kept = list(findings)
        self.rows += bool(kept)
        for finding in kept:
            known = self.best.get(finding.item)
            if known is None or _strength(finding) > _strength(known):
                self.best[finding.item] = finding


def _strength(finding: Finding) -> tuple[bool, float]:
    return finding.kind == "exact", finding.share


def contamination_report(
    training: Mapping[str, Iterable[Item]],
    evaluation: Mapping[str, Sequence[Document]],
    *,
    part: Part = "prompt",
    n: int = 8,
    threshold: float = 0.5,
) -> list[Exposure]:
    """Return what every data set holds of every suite, those without findings included.

    A set that is on both sides, by its name, is not compared with itself row by row: a finding
    whose row and item have the same id is left out, so that repeated rows remain.
    """
    suites = Suites(evaluation, part=part, n=n, threshold=threshold)
    exposures: list[Exposure] = []
    for name, items in training.items():
        of = {suite: Exposure(name, suite, size) for suite, size in suites.sizes.items()}
        for _, findings in suites.findings(items):
            others = (f for f in findings if f.suite != name or f.row != f.item)
            for suite, group in groupby(sorted(others), key=lambda finding: finding.suite):
                of[suite].add(group)
        exposures += of.values()
    return exposures


@dataclass(frozen=True)
class Overlap:
    """How far two prompt sets, such as a reward model's and a policy's, are the same."""

    left_in_right: float
    """Fraction of the first set's prompts that the second holds whole; NaN for an empty set."""
    right_in_left: float
    """The same the other way around."""
    left_like_right: float
    """Fraction of the first set's prompts that the second holds whole or in large part."""
    right_like_left: float
    """The same the other way around."""


def overlap(left: Sequence[str], right: Sequence[str]) -> Overlap:
    """Return how much two sets of prompts have in common, prompt by prompt, repeats counted."""
    exact_left, any_left = _held(left, right)
    exact_right, any_right = _held(right, left)
    return Overlap(exact_left, exact_right, any_left, any_right)


def _held(prompts: Sequence[str], texts: Sequence[str]) -> tuple[float, float]:
    if not prompts:
        return float("nan"), float("nan")
    found: dict[int, bool] = {}
    for match in Index(prompts, [""] * len(prompts)).scan(texts):
        found[match.item] = found.get(match.item, False) or match.kind == "exact"
    return sum(found.values()) / len(prompts), len(found) / len(prompts)
