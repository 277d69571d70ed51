"""Which examples each optimizer step sees: a pure function, so a step number is a position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from ablate.models.ranks import rank, world_size
from ablate.models.token_store import Numbers
from ablate.training.streams import generator, permutation

T = TypeVar("T")
BUCKET_BATCHES = 24
"""Batches that are sorted by length together. Random batches carry about twice the real tokens in
padding; 24 leave little of that, and still mix every batch from a random part of the data."""


def bucketed_batches(
    lengths: Sequence[int] | Numbers, batch_size: int, *, epochs: int, seed: int
) -> list[list[int]]:
    """Return the example indices of every optimizer step, each example once an epoch.

    Examples are shuffled, cut into buckets of 24 batches, sorted by length within a bucket and cut
    into batches whose order is shuffled again. The last batch of an epoch may be smaller.
    """
    batches: list[list[int]] = []
    size = batch_size * BUCKET_BATCHES
    of_example: Numbers = np.asarray(lengths, dtype=np.int64)
    for epoch in range(epochs):
        order = torch.randperm(len(lengths), generator=generator(seed, "order", epoch)).numpy()
        for number in range(-(-len(order) // size)):
            bucket = order[number * size : (number + 1) * size]
            by_length = bucket[np.argsort(of_example[bucket], kind="stable")]
            cut = chunks(by_length.tolist(), batch_size)
            batches += [cut[i] for i in permutation(len(cut), seed, "bucket", epoch, number)]
    return batches


def chunks(items: Sequence[T], size: int) -> list[list[T]]:
    """Cut a sequence into lists of ``size``; the last may be shorter."""
    return [list(items[i : i + size]) for i in range(0, len(items), size)]


@dataclass(frozen=True)
class Turn:
    """Some rows of an optimizer step that go through the model together."""

    rows: list[int]
    weight: float
    """What their share counts: 0 where this rank has no row left and the others have."""


def turns(rows: Sequence[int], size: int | None) -> list[Turn]:
    """Cut this rank's part of an optimizer step's rows into micro-batches; None takes all at once.

    Every rank takes equally many turns, because gradients are summed while they are computed.
    """
    per_rank = -(-len(rows) // world_size())
    mine = chunks(rows[rank() :: world_size()], size or per_rank)
    missing = -(-per_rank // (size or per_rank)) - len(mine)
    return [Turn(part, 1.0) for part in mine] + [Turn([rows[0]], 0.0) for _ in range(missing)]


def cycled(n: int, start: int, count: int, *, seed: int) -> list[int]:
    """Return ``count`` positions from ``start`` on in an endless shuffle of ``range(n)``.

    Every pass over the ``n`` items has its own order.
    """
    orders: dict[int, list[int]] = {}
    taken = []
    for position in range(start, start + count):
        epoch, index = divmod(position, n)
        if epoch not in orders:
            orders[epoch] = permutation(n, seed, "prompts", epoch)
        taken.append(orders[epoch][index])
    return taken
