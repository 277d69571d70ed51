"""The near-duplicate filter over a stream: rows and their signatures wait on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ablate.data.shaping.items import Item, plain, prompt_of, replies_of
from ablate.data.shaping.ledger import Count, Ledger
from ablate.data.shaping.near_duplicates import (
    HASHES,
    Bands,
    Signatures,
    bands_for,
    repeats,
    signatures,
)
from ablate.data.shaping.spool import Row, Spool
from ablate.spec.shaping import NearDuplicateFilter

BATCH_CHARACTERS = 1 << 16
"""Texts are hashed together up to this, so that the arrays stay in the processor's cache."""


def without_near_duplicates(
    rows: Iterable[Row],
    config: NearDuplicateFilter,
    *,
    count: Count,
    ledger: Ledger,
    folder: Path,
) -> Iterator[Row]:
    """Yield the rows that nearly equal no earlier one that was kept, once all rows were read."""
    folder.mkdir(parents=True, exist_ok=True)
    bands = bands_for(config.similarity)
    with Spool(folder / "rows.jsonl") as spool:
        left_out = repeats(
            _signed(_spooled(rows, spool, config), bands, folder),
            config.similarity,
            lambda row: compared(spool.at(row)[1], config),
        )
        found = spool.rows(range(len(spool)))
        for (source, item), repeated in zip(found, left_out, strict=True):
            count.before += 1
            if repeated:
                ledger.filtered(item, count.step)
            else:
                count.after += 1
                yield source, item


def compared(item: Item, config: NearDuplicateFilter) -> str:
    """Return the plain text that stands for a row."""
    texts = [message["content"] for message in prompt_of(item)]
    if config.of == "row":
        texts += replies_of(item)
    return plain("\n".join(texts))


def _spooled(rows: Iterable[Row], spool: Spool, config: NearDuplicateFilter) -> Iterator[str]:
    for source, item in rows:
        spool.add(source, item)
        yield compared(item, config)


def _signed(texts: Iterable[str], bands: Bands, folder: Path) -> Signatures:
    """Return the signatures of all texts, by way of files: lists of arrays would be held twice."""
    paths = folder / "bands", folder / "digits"
    with open(paths[0], "wb") as keys, open(paths[1], "wb") as digits:
        for batch in _batches(texts):
            signed = signatures(batch, bands)
            keys.write(signed.bands.tobytes())
            digits.write(signed.digits.tobytes())
    found = Signatures(
        np.fromfile(paths[0], dtype=np.uint32).reshape(-1, bands.number),
        np.fromfile(paths[1], dtype=np.uint8).reshape(-1, HASHES),
    )
    for path in paths:
        path.unlink()
    return found


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
