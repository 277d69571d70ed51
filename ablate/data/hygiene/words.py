"""Texts as sequences of word hashes, whatever their case, punctuation, spacing or language."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]
Positions = np.ndarray[tuple[int], np.dtype[np.int64]]
_Codes = np.ndarray[tuple[int], np.dtype[Any]]

PIECE_CHARACTERS = 1 << 20
"""Longer texts are hashed in pieces that end at a blank, so that none needs memory of its size."""

_SEPARATOR, _LETTER, _OWN, _DELETED = range(4)
_SCRIPTS_WITHOUT_SPACES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x109F),  # Tibetan, Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x3007),  # ideographic iteration mark, closing mark and zero
    (0x3021, 0x3029),  # Hangzhou numerals
    (0x3031, 0x31FF),  # kana, Bopomofo, strokes (and compatibility jamo, which NFKC composes)
    (0x3400, 0x4DBF),  # ideographs, extension A
    (0x4E00, 0x9FFF),  # ideographs
    (0xA000, 0xA4CF),  # Yi
    (0xA9E0, 0xA9FF),  # Myanmar extended B
    (0xAA60, 0xAADF),  # Myanmar extended A, Tai Viet
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0x1AFF0, 0x1B16F),  # kana supplements
    (0x20000, 0x3FFFD),  # ideographs, later extensions
)
_CODES = 0x110000
_BASE = 0x9E3779B97F4A7C15
"""Odd, so that it has an inverse modulo 2**64; the golden ratio, as in SplitMix64."""
_INVERSE = pow(_BASE, -1, 1 << 64)


@dataclass(frozen=True)
class Words:
    """The words of several texts, one text after another."""

    hashes: Hashes
    """One for each word; equal words of equal normal form have equal hashes."""
    starts: Positions
    """Where each text's words begin in ``hashes``, and at last where they all end."""

    @property
    def counts(self) -> Positions:
        """Return the number of words of each text."""
        return np.diff(self.starts)


def normalized(text: str) -> str:
    """Return the text in NFKC, casefolded: what two spellings of the same words share."""
    if text.isascii():
        return text.lower()
    # Casefolding may undo the composition, as for the Turkish capital I with its dot.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def words_of(texts: Sequence[str]) -> Words:
    """Return the hashed words of texts.

    A word is a run of letters, marks and digits as Unicode has them; where a script writes no
    spaces between words (Chinese, Japanese, Thai, ...), each of its characters is one. All else
    separates, so ``don't`` is two words and ``3 + 4`` and ``3 - 4`` are the same two. Invisible
    characters (soft hyphens, joiners, variation selectors) are as if they were not there. Different
    words share a 64-bit hash with a chance of about 2**-60.
    """
    hashes: list[Hashes] = []
    counts = np.zeros(len(texts), np.int64)
    for first, batch in _batches(texts):
        found = _hashed([normalized(text) for text in batch])
        hashes.append(found.hashes)
        # A long text comes in several batches of one piece each.
        counts[first : first + len(batch)] += found.counts
    joined = np.concatenate(hashes) if hashes else np.zeros(0, np.uint64)
    return Words(joined, np.concatenate([[0], np.cumsum(counts)]))


def _batches(texts: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield texts of about one piece's size together, with the place of the first."""
    batch: list[str] = []
    first, size = 0, 0
    for place, text in enumerate(texts):
        if batch and size + len(text) > PIECE_CHARACTERS:
            yield first, batch
            batch, size = [], 0
        if len(text) > PIECE_CHARACTERS:
            for piece in _pieces(text):
                yield place, [piece]
            continue
        if not batch:
            first = place
        batch.append(text)
        size += len(text) + 1
    if batch:
        yield first, batch


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = start + PIECE_CHARACTERS
        if end < len(text):
            # Without any blank in a million characters a word may be cut.
            end = max(text.rfind(blank, start, end) for blank in " \n") + 1 or end
        yield text[start:end]
        start = end


def _hashed(texts: Sequence[str]) -> Words:
    codes, kinds, starts = _characters(texts)
    if not len(codes):
        return Words(np.zeros(0, np.uint64), np.zeros(len(texts) + 1, np.int64))
    letter, begins = kinds == _LETTER, kinds == _OWN
    ends = begins.copy()
    begins[0] |= letter[0]
    begins[1:] |= letter[1:] & ~letter[:-1]
    ends[-1] |= letter[-1]
    ends[:-1] |= letter[:-1] & ~letter[1:]
    first, last = np.flatnonzero(begins), np.flatnonzero(ends) + 1
    prefix = prefix_sums(_values()[codes])
    return Words(mixed(runs(prefix, first, last)), np.searchsorted(first, starts))


def _characters(texts: Sequence[str]) -> tuple[_Codes, _Codes, Positions]:
    """Return code points, their kinds, and where each text begins; a blank ends every text."""
    joined = "\n".join([*texts, ""])
    starts = np.cumsum([0, *(len(text) + 1 for text in texts)])
    if joined.isascii():
        codes: _Codes = np.frombuffer(joined.encode("ascii"), np.uint8)
        return codes, _kinds()[codes], starts
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _kinds()[codes]
    if len(deleted := np.flatnonzero(kinds == _DELETED)):
        kept = kinds != _DELETED
        codes, kinds = codes[kept], kinds[kept]
        starts = starts - np.searchsorted(deleted, starts)
    return codes, kinds, starts


def prefix_sums(values: Hashes) -> Hashes:
    """Return the polynomial hash of every beginning of a sequence, the empty one first.

    The i-th value is weighed by the base to the power of i, modulo 2**64.
    """
    weighed = values * _powers(_BASE, len(values))[: len(values)]
    return np.concatenate([np.zeros(1, np.uint64), np.cumsum(weighed, dtype=np.uint64)])


def runs(prefix: Hashes, starts: Positions, ends: Positions) -> Hashes:
    """Return the hashes of runs of a sequence from its prefix sums: equal runs, equal hashes."""
    return (prefix[ends] - prefix[starts]) * _powers(_INVERSE, len(prefix))[starts]


def mixed(values: Hashes) -> Hashes:
    """Return hashes whose every bit depends on all bits of the given ones (SplitMix64's end)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _powers(base: int, count: int) -> Hashes:
    # Sizes are rounded up, so that batches of about one size share their powers.
    return _powers_to(base, 1 << max(16, (count - 1).bit_length()))


@lru_cache(maxsize=8)
def _powers_to(base: int, count: int) -> Hashes:
    powers = np.full(count, base, np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


@lru_cache(maxsize=1)
def _values() -> Hashes:
    return mixed((np.arange(_CODES, dtype=np.uint64) + np.uint64(1)) * np.uint64(_BASE))


@lru_cache(maxsize=1)
def _kinds() -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    kinds = np.full(_CODES, _SEPARATOR, np.uint8)
    for codes in _ASSIGNED:
        kinds[codes.start : codes.stop] = [_kind(code) for code in codes]
    for first, last in _SCRIPTS_WITHOUT_SPACES:
        script = kinds[first : last + 1]
        script[script == _LETTER] = _OWN
    kinds[list(_INVISIBLE)] = _DELETED
    return kinds


def _kind(code: int) -> int:
    category = unicodedata.category(chr(code))
    # Format characters such as the soft hyphen leave no trace on paper.
    return _DELETED if category == "Cf" else _LETTER if category[0] in "LMN" else _SEPARATOR


_ASSIGNED = (range(0x40000), range(0xE0000, 0xE0200))
"""The only planes with characters; the rest are for private use or empty."""
_INVISIBLE = (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), 0x034F, 0x115F, 0x1160, 0x3164)
"""Variation selectors, the grapheme joiner and fillers of Hangul, which count as letters else."""
