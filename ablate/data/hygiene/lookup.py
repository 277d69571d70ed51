"""Finding which of many hashes are in a table, and the lists behind the found ones."""

from __future__ import annotations

import numpy as np

from ablate.data.hygiene.words import Hashes, Positions

_LARGEST_FILTER_BITS = 27
"""128 MB; 8 million keys still let only one stranger in sixteen through."""


class Table:
    """A set of hashes that is asked about many more, most of which are not in it."""

    def __init__(self, hashes: Hashes) -> None:
        """Take hashes in ascending order, each once."""
        self.hashes = hashes
        # One byte for each of sixteen times as many slots as keys: a stranger is looked up by
        # bisection, which costs ten times as much, only where it falls on a slot in use.
        bits = min(_LARGEST_FILTER_BITS, max(16, (16 * len(hashes)).bit_length()))
        self._shift = np.uint64(64 - bits)
        self._used = np.zeros(1 << bits, np.bool_)
        self._used[self._slots(hashes)] = True

    def find(self, hashes: Hashes) -> tuple[Positions, Positions]:
        """Return the places of those that are in the table, and their places in the table."""
        if not len(self.hashes):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        maybe = np.flatnonzero(self._used[self._slots(hashes)])
        asked = hashes[maybe]
        found = np.minimum(np.searchsorted(self.hashes, asked), len(self.hashes) - 1)
        there = self.hashes[found] == asked
        return maybe[there], found[there]

    def _slots(self, hashes: Hashes) -> Positions:
        # The multiplication brings the hash's low bits to bear on the high ones, which are used.
        spread = hashes * np.uint64(0xBF58476D1CE4E5B9)
        return (spread >> self._shift).astype(np.int64)


class Lists:
    """A list of numbers for each key from 0; most are short, some are empty."""

    def __init__(self, keys: Positions, values: Positions, size: int) -> None:
        """Take the values with their keys, in any order; each list keeps its values' order."""
        order = np.argsort(keys, kind="stable")
        self._values = values[order]
        self._starts = np.searchsorted(keys[order], np.arange(size + 1))

    def lengths(self, keys: Positions) -> Positions:
        """Return the lengths of the keys' lists."""
        return self._starts[keys + 1] - self._starts[keys]

    def of(self, keys: Positions) -> tuple[Positions, Positions]:
        """Return all values in the keys' lists, and for each the place of its key in ``keys``."""
        lengths = self.lengths(keys)
        place = np.repeat(np.arange(len(keys)), lengths)
        within = np.arange(len(place)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self._values[self._starts[keys[place]] + within], place
