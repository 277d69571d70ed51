"""Which evaluation items occur in training texts: whole, or in large part.

The rule is that of Tulu 3 (Lambert et al. 2024, arXiv:2411.15124): an item is
contaminated by a training text if 8-grams that both share cover half of the item's words. Where we
depart from it:

- exactly half counts;
- words are ours (`words`), not a tokenizer's, so case, punctuation and Unicode forms hide no copy;
- an item that occurs as a whole is ``exact``, and items too short for an n-gram are found at all;
- n-grams of more than ``common`` different items (the frame of a benchmark's question, the examples
  of a task) identify none of them: words in no other n-gram are left out of the share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from ablate.data.hygiene.entries import Entries, Grams, Sequences, equal, short_anchors
from ablate.data.hygiene.words import words_of

Kind = Literal["exact", "ngram"]
LEAST = 5
"""Words that an item needs to be found inside a longer text."""
BATCH_CHARACTERS = 1 << 20
"""Training texts that `scan` looks at together; larger batches are no faster."""


class Match(NamedTuple):
    """A training text that holds an evaluation item."""

    text: int
    """Place of the training text among those given."""
    item: int
    """Place of the item in the index."""
    kind: Kind
    """Whether the item's words occur all in a row, or only n-grams of them."""
    share: float
    """Fraction of the item's words that shared n-grams cover; 1 for an exact match."""


class Index:
    """Evaluation items, made ready for being looked for in any number of training texts."""

    def __init__(
        self,
        texts: Sequence[str],
        ids: Sequence[str],
        *,
        n: int = 8,
        threshold: float = 0.5,
        least: int = LEAST,
        common: int = 100,
    ) -> None:
        """Take the items' texts and ids.

        ``n`` is the words of an n-gram, ``threshold`` the smallest share of an item's words that
        makes a match. An item of fewer than ``n`` words matches as a run of words, one of fewer
        than ``least`` only a text that holds nothing else. N-grams of more than ``common``
        different items are nobody's.
        """
        if len(texts) != len(ids):
            raise ValueError(f"there are {len(texts)} texts and {len(ids)} ids")
        if not (1 <= least <= n and 0 < threshold <= 1 and common >= 1):
            raise ValueError("1 <= least <= n, 0 < threshold <= 1 and common >= 1 are needed")
        self.ids = tuple(ids)
        self.n, self.threshold = n, threshold
        items = Sequences(words_of(texts))
        self.wordless = int(np.count_nonzero(items.words.counts == 0))
        """Items without a single word, which nothing can match."""
        self._entries = Entries(items)
        self._grams = Grams(items, self._entries, n=n, common=common)
        self._short = short_anchors(items, self._entries, least=least, n=n)

    def matches(self, texts: Sequence[str]) -> list[Match]:
        """Return what the texts hold of the items, by text and item, each pair once.

        Memory grows with the texts given; `scan` takes any number of them.
        """
        if not self._entries.size or not texts:
            return []
        found = Sequences(words_of(texts))
        grams = found.grams(self.n)
        whole = [equal(found, self._entries), self._grams.anchors.found(found, grams)]
        if len(self._short.table.hashes):
            whole.append(self._short.found(found, found.grams(self._short.n)))
        exact = np.unique(np.concatenate(whole))
        matches = list(self._named(exact, np.ones(len(exact)), "exact"))
        for pairs, shares in self._grams.shared(found, grams, threshold=self.threshold):
            rest = ~np.isin(pairs, exact)
            matches += self._named(pairs[rest], shares[rest], "ngram")
        return sorted(matches)

    def scan(self, texts: Iterable[str]) -> Iterator[Match]:
        """Yield the matches of a stream of texts, in its order; memory stays bounded."""
        batch: list[str] = []
        first, size = 0, 0
        for text in texts:
            batch.append(text)
            size += len(text) + 1
            if size >= BATCH_CHARACTERS:
                yield from self._numbered(batch, first)
                first, size, batch = first + len(batch), 0, []
        yield from self._numbered(batch, first)

    def _numbered(self, batch: Sequence[str], first: int) -> Iterator[Match]:
        for match in self.matches(batch):
            yield match._replace(text=match.text + first)

    def _named(
        self, pairs: np.ndarray[tuple[int], np.dtype[np.int64]], shares: Iterable[float], kind: Kind
    ) -> Iterator[Match]:
        """Yield a match for every item that an entry stands for."""
        items, place = self._entries.members.of(pairs % self._entries.size)
        texts = (pairs // self._entries.size)[place]
        share = np.asarray(shares)[place]
        for text, item, part in zip(texts.tolist(), items.tolist(), share.tolist(), strict=True):
            yield Match(text, item, kind, part)
