"""Evaluation items as words and n-grams, and what of them a batch of texts holds.

A pair of a text and an item is one number: text * (number of items) + item.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ablate.data.hygiene.lookup import Lists, Table
from ablate.data.hygiene.words import Hashes, Positions, Words, prefix_sums, runs

Shares = np.ndarray[tuple[int], np.dtype[np.float64]]
_MOST_AT_ONCE = 1 << 21
"""Shared n-grams that are compared at a time; more would only take more memory."""


@dataclass(frozen=True)
class Sequences:
    """The words of several texts, ready for the hashes of their runs."""

    words: Words
    """The words, one text after another."""

    @cached_property
    def prefix(self) -> Hashes:
        """Prefix sums of all words."""
        return prefix_sums(self.words.hashes)

    def grams(self, n: int) -> Hashes:
        """Return the hash of every run of ``n`` words by its first word, across texts as well."""
        first = np.arange(max(0, len(self.prefix) - n))
        return runs(self.prefix, first, first + n)

    def number(self, positions: Positions) -> Positions:
        """Return which text each word belongs to."""
        return np.searchsorted(self.words.starts, positions, side="right") - 1

    def inside(self, positions: Positions, keys: Positions, n: int) -> tuple[Positions, Positions]:
        """Return runs of ``n`` words and their keys, less those that cross into another text."""
        kept = positions + n <= self.words.starts[self.number(positions) + 1]
        return positions[kept], keys[kept]

    def whole(self) -> Hashes:
        """Return the hash of all words of each text."""
        return runs(self.prefix, self.words.starts[:-1], self.words.starts[1:])


class Entries:
    """The different items: those of equal words are one."""

    def __init__(self, items: Sequences) -> None:
        """Take the items' words."""
        worded = np.flatnonzero(items.words.counts)
        keys, first, entry = np.unique(
            items.whole()[worded], return_index=True, return_inverse=True
        )
        self.size = len(keys)
        self.table = Table(keys)
        """Hash of all words of an entry; its place is the entry's number."""
        self.members = Lists(entry, worded, self.size)
        """The items of each entry."""
        chosen = worded[first]
        self.begins = items.words.starts[chosen]
        """Where the entry's words begin among all items' words."""
        self.lengths = items.words.counts[chosen]
        """In words."""
        self.runs = keys
        """Hash of all words, as one run."""


def equal(texts: Sequences, entries: Entries) -> Positions:
    """Return the pairs of a text and an entry that are the same from end to end."""
    worded = np.flatnonzero(texts.words.counts)
    place, entry = entries.table.find(texts.whole()[worded])
    return worded[place] * entries.size + entry


class Anchors:
    """For each of some entries a run of ``n`` of its words, by which the whole is found."""

    def __init__(self, entries: Entries, hashes: Hashes, *, n: int, of: Positions) -> None:
        """Take the runs' hashes and, in ``of``, the words among all items' at which they begin.

        A run belongs to the entry whose words it lies in.
        """
        self.n, self._entries = n, entries
        by_place = np.argsort(entries.begins)
        entry = by_place[np.searchsorted(entries.begins[by_place], of, side="right") - 1]
        keys, key = np.unique(hashes, return_inverse=True)
        self.table = Table(keys)
        self._anchored = Lists(key, entry, len(keys))
        self._offset = np.zeros(entries.size, np.int64)
        self._offset[entry] = of - entries.begins[entry]

    def found(self, texts: Sequences, grams: Hashes) -> Positions:
        """Return the pairs of a text and an anchored entry whose words are all in it, in a row.

        ``grams`` are the texts' runs of ``n`` words.
        """
        positions, keys = texts.inside(*self.table.find(grams), self.n)
        pairs = [np.zeros(0, np.int64)]
        for part in slices(np.arange(len(positions)), self._anchored.lengths(keys)):
            entry, place = self._anchored.of(keys[part])
            anchor = positions[part][place]
            begin = anchor - self._offset[entry]
            end = begin + self._entries.lengths[entry]
            number = texts.number(anchor)
            starts = texts.words.starts
            fits = np.flatnonzero((begin >= starts[number]) & (end <= starts[number + 1]))
            same = runs(texts.prefix, begin[fits], end[fits]) == self._entries.runs[entry[fits]]
            hit = fits[same]
            pairs.append(np.unique(number[hit] * self._entries.size + entry[hit]))
        return np.unique(np.concatenate(pairs))


class Grams:
    """The n-grams of the entries, and which words of which entry each of them covers."""

    def __init__(self, items: Sequences, entries: Entries, *, n: int, common: int) -> None:
        """Take the n-grams of all entries with ``n`` words or more."""
        self.n, self._entries = n, entries
        length = np.maximum(0, entries.lengths - n + 1)
        self._entry = np.repeat(np.arange(entries.size), length)
        first = np.cumsum(length) - length
        within = np.arange(len(self._entry)) - first[self._entry]
        place = entries.begins[self._entry] + within
        hashes = runs(items.prefix, place, place + n)
        keys, gram = np.unique(hashes, return_inverse=True)
        self.table = Table(keys)
        held = np.unique(gram * max(1, entries.size) + self._entry) // max(1, entries.size)
        spread = np.bincount(held, minlength=len(keys))
        told = np.flatnonzero(spread[gram] <= common)
        self._within = within
        self._postings = Lists(gram[told], told, len(keys))
        self._words = np.bincount(
            self._entry[told], weights=self._fresh(told), minlength=entries.size
        )
        rarest = np.lexsort((within, spread[gram], self._entry))
        _, chosen = np.unique(self._entry[rarest], return_index=True)
        chosen = rarest[chosen]
        self.anchors = Anchors(entries, hashes[chosen], n=n, of=place[chosen])
        """The rarest n-gram of each entry."""

    def shared(
        self, texts: Sequences, grams: Hashes, *, threshold: float
    ) -> Iterator[tuple[Positions, Shares]]:
        """Yield pairs of a text and an entry that share enough n-grams, and which part they cover.

        ``grams`` are the texts' n-grams.
        """
        positions, gram = texts.inside(*self.table.find(grams), self.n)
        size = len(self.table.hashes)
        # Once is enough, however often a text repeats an n-gram.
        wanted = np.unique(texts.number(positions) * size + gram) if size else positions
        number, gram = wanted // max(1, size), wanted % max(1, size)
        for part in slices(number, self._postings.lengths(gram)):
            posting, place = self._postings.of(gram[part])
            postings = len(self._entry)
            key = np.sort(number[part][place] * postings + posting)
            yield self._covered(key // postings, key % postings, threshold)

    def _covered(
        self, number: Positions, posting: Positions, threshold: float
    ) -> tuple[Positions, Shares]:
        pair = number * self._entries.size + self._entry[posting]
        fresh = self._fresh(posting, number)
        pairs, which = np.unique(pair, return_inverse=True)
        words = self._words[pairs % self._entries.size]
        share = np.bincount(which, weights=fresh, minlength=len(pairs)) / words
        enough = share >= threshold
        return pairs[enough], share[enough]

    def _fresh(self, posting: Positions, number: Positions | None = None) -> Shares:
        """Return how many words each n-gram covers that the one before it does not.

        The n-grams are in ascending order, of one text after another if there are several.
        """
        fresh = np.full(len(posting), self.n, np.float64)
        if len(posting) > 1:
            gap = self._within[posting[1:]] - self._within[posting[:-1]]
            same = self._entry[posting[1:]] == self._entry[posting[:-1]]
            if number is not None:
                same &= number[1:] == number[:-1]
            fresh[1:] = np.where(same, np.minimum(gap, self.n), self.n)
        return fresh


def short_anchors(items: Sequences, entries: Entries, *, least: int, n: int) -> Anchors:
    """Return anchors of the entries too short for an n-gram: their first ``least`` words."""
    short = np.flatnonzero((entries.lengths >= least) & (entries.lengths < n))
    place = entries.begins[short]
    return Anchors(entries, runs(items.prefix, place, place + least), n=least, of=place)


def slices(groups: Positions, sizes: Positions) -> Iterator[slice]:
    """Yield slices of bounded total size that keep neighbours of one group together.

    A single group may be larger than the bound.
    """
    if not len(groups):
        return
    total = np.cumsum(sizes)
    ends = np.append(np.flatnonzero(np.diff(groups)) + 1, len(groups))
    start = 0
    while start < len(groups):
        before = total[start - 1] if start else 0
        fitting = ends[(ends > start) & (total[ends - 1] - before <= _MOST_AT_ONCE)]
        end = int(fitting[-1]) if len(fitting) else int(ends[np.searchsorted(ends, start, "right")])
        yield slice(start, end)
        start = end
