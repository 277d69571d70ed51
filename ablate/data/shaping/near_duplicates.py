"""Nearly equal texts of any language, found without comparing all with all.

MinHash (Broder 1997) over character 5-grams, banded so that only texts with an equal band are
compared (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4). The most
similar candidates are then checked by the Jaccard similarity of the 5-gram sets themselves, so a
text is never left out for an estimate; an estimate can only miss one.

A frame around every text counts like any other text: in Alpaca's template two short questions
share four fifths of their grams. Such a set wants a higher threshold, or prompts without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ablate.data.streams import generator

GRAM = 5
"""Characters. Words would not do: Chinese, Japanese and Thai do not separate them."""
HASHES = 128
"""Hash functions; an estimate's standard error is at most 1/2/sqrt(128) = 0.044."""
RECALL = 0.995
"""Least chance by which texts exactly at the threshold share a band, where 128 hashes allow it."""
MOST_CHARACTERS = 1 << 20
"""Texts are compared by so many of their first characters, so a hostile one fills no memory."""
MOST_COMPARED = 64
"""Of the earlier texts in a band, as of one template, so many of the latest are compared."""
MOST_CHECKED = 8
"""So many candidates, the most similar by estimate, are compared gram by gram."""

Words = NDArray[np.uint32]
Longs = NDArray[np.uint64]
_PRIME = np.uint64(0x100000001B3)
_SHIFTS = tuple(np.uint64(n) for n in (30, 27, 31, 32))
_FACTORS = tuple(np.uint64(n) for n in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
"""The finalizer of splitmix64 (Steele, Lea and Flood 2014)."""


class Bands(NamedTuple):
    """How the hashes are grouped; texts are compared where all hashes of one group are equal."""

    number: int
    width: int

    def chance(self, similarity: float) -> float:
        """Return how likely texts of this Jaccard similarity are compared."""
        return float(1 - (1 - similarity**self.width) ** self.number)


class Signatures(NamedTuple):
    """What is kept of texts, a row for each."""

    bands: Words
    """Hash of each band, (texts, bands)."""
    digits: NDArray[np.uint8]
    """Lowest 8 bits of each minimum, (texts, HASHES): enough to estimate similarity."""


def bands_for(similarity: float) -> Bands:
    """Return the widest bands, so the fewest comparisons, that reach `RECALL` at the threshold."""
    choices = [Bands(HASHES // width, width) for width in range(HASHES, 0, -1)]
    return next((bands for bands in choices if bands.chance(similarity) >= RECALL), choices[-1])


def jaccard(one: str, other: str) -> float:
    """Return shared over all distinct 5-grams of two plain texts."""
    first, second = (np.unique(_hashed(_codes(text))) for text in (one, other))
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)


def signatures(texts: Sequence[str], bands: Bands) -> Signatures:
    """Return the signatures of plain texts; memory grows with their characters together."""
    codes = [_codes(text) for text in texts]
    ends = np.cumsum([len(code) for code in codes])
    inside = np.ones(ends[-1] - GRAM + 1, dtype=bool)
    # A gram over a border belongs to no text.
    inside[(ends[:-1, None] - np.arange(1, GRAM)).ravel()] = False
    starts = np.concatenate([[0], ends[:-1] - np.arange(1, len(codes)) * (GRAM - 1)])
    minima = _minima(_hashed(np.concatenate(codes))[inside], starts)
    used = minima[:, : bands.number * bands.width].reshape(-1, bands.number, bands.width)
    keys = np.zeros(used.shape[:2], dtype=np.uint64)
    for place in range(bands.width):
        keys = _mixed(keys ^ used[:, :, place])
    return Signatures((keys >> _SHIFTS[3]).astype(np.uint32), minima.astype(np.uint8))


def repeats(signed: Signatures, similarity: float, text_at: Callable[[int], str]) -> Iterator[bool]:
    """Yield for each text in order whether it nearly equals an earlier one that was kept.

    ``text_at`` returns the plain text of a row; it is asked for the best candidates only. Holds
    some 330 bytes a text at the default threshold, more below it.
    """
    order, place, earlier = _neighbours(signed.bands)
    digits = signed.digits
    del signed  # The bands are a fifth of the memory and done with.
    busy: NDArray[np.bool_] = np.logical_or.reduce(earlier, axis=1)
    kept_twin = np.arange(len(busy), dtype=np.int32)  # Of a text left out, the one it repeats.
    spread = 3 * float(np.sqrt(similarity * (1 - similarity) / HASHES))
    for row in range(len(busy)):
        if busy[row]:
            spans = zip(order, place[row].tolist(), earlier[row].tolist(), strict=True)
            found = np.concatenate([band[at - n : at] for band, at, n in spans])
            candidates = _likeliest(row, np.unique(kept_twin[found]), digits)
            likely = (other for other, close in candidates if close >= similarity - spread)
            kept_twin[row] = _twin(row, likely, similarity, text_at)
        yield bool(kept_twin[row] != row)


def _twin(row: int, likely: Iterator[int], similarity: float, text_at: Callable[[int], str]) -> int:
    """Return the first of some texts that is similar enough to a row's, or the row itself."""
    text = text_at(row)
    for other in likely:
        if jaccard(text, text_at(other)) >= similarity:
            return other
    return row


def _likeliest(
    row: int, others: NDArray[np.int32], digits: NDArray[np.uint8]
) -> list[tuple[int, float]]:
    """Return the most similar texts by estimate, best and earliest first, with the estimates."""
    close = (digits[others] == digits[row]).mean(axis=1)
    best = np.argsort(-close, kind="stable")[:MOST_CHECKED]
    return list(zip(others[best].tolist(), close[best].tolist(), strict=True))


class _Neighbours(NamedTuple):
    """Who shares bands: of row r in band b the earlier ones are ``order[b, p - n : p]``."""

    order: NDArray[np.int32]
    """Rows sorted by the band's hash and then by number, (bands, texts)."""
    place: NDArray[np.int32]
    """p: where a row is in that order, (texts, bands)."""
    earlier: NDArray[np.uint8]
    """n: how many before it have the same hash, at most `MOST_COMPARED`, (texts, bands)."""


def _neighbours(keys: Words) -> _Neighbours:
    texts, bands = keys.shape
    order = np.empty((bands, texts), dtype=np.int32)
    place = np.empty((texts, bands), dtype=np.int32)
    earlier = np.empty((texts, bands), dtype=np.uint8)
    ranks = np.arange(texts, dtype=np.int32)
    for band in range(bands):
        column = keys[:, band]
        order[band] = np.argsort(column, kind="stable")
        hashes = column[order[band]]
        fresh = np.concatenate([[True], hashes[1:] != hashes[:-1]])
        first = np.maximum.accumulate(np.where(fresh, ranks, 0))
        place[order[band], band] = ranks
        earlier[order[band], band] = np.minimum(ranks - first, MOST_COMPARED)
    return _Neighbours(order, place, earlier)


def _codes(text: str) -> Words:
    """Return the text's characters as numbers, padded to one gram."""
    raw = text[:MOST_CHARACTERS].ljust(GRAM, "\0").encode("utf-32-le", "surrogatepass")
    return np.frombuffer(raw, dtype="<u4")


def _hashed(codes: Words) -> Words:
    """Return the hash of each 5-gram, in order and with repeats."""
    wide = codes.astype(np.uint64)
    size = len(wide) - GRAM + 1
    total = wide[:size].copy()
    for place in range(1, GRAM):
        total *= _PRIME
        total += wide[place : place + size]
    return (_mixed(total) >> _SHIFTS[3]).astype(np.uint32)


def _mixed(values: Longs) -> Longs:
    """Return the values with every bit depending on every other."""
    values = (values ^ (values >> _SHIFTS[0])) * _FACTORS[0]
    values = (values ^ (values >> _SHIFTS[1])) * _FACTORS[1]
    return values ^ (values >> _SHIFTS[2])


def _minima(hashes: Words, starts: NDArray[np.intp]) -> Words:
    """Return the least value of each hash function over each text's grams, (texts, HASHES).

    An odd multiple and an offset modulo 2**32 permute the hashes; these linear permutations are
    close enough to random ones on hashed input.
    """
    drawn = (generator(0, "near_duplicates").random((2, HASHES)) * 2**32).astype(np.uint32)
    factors, offsets = drawn[0] | np.uint32(1), drawn[1]
    minima = np.empty((len(starts), HASHES), dtype=np.uint32)
    permuted = np.empty_like(hashes)
    for place in range(HASHES):
        np.multiply(hashes, factors[place], out=permuted)
        np.add(permuted, offsets[place], out=permuted)
        minima[:, place] = np.minimum.reduceat(permuted, starts)
    return minima
