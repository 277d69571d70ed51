"""Seeded subsamples of data that exists already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from ablate.data.streams import generator
from ablate.errors import StageError

T = TypeVar("T")


def subsample(items: Sequence[T], examples: int | None, *, seed: int, name: str) -> list[T]:
    """Return so many of the items in their own order, or all for None.

    Under one seed a smaller subsample is contained in every larger one. More than there are is an
    error: silently fewer would break a size-matched comparison.
    """
    if examples is None:
        return list(items)
    if examples > len(items):
        raise StageError(
            f"data set {name!r}: examples is {examples}; at most {len(items)} are usable. "
            "Ask for fewer.",
            kind="bad_data",
        )
    order = np.argsort(generator(seed, "subsample").random(len(items)), kind="stable")
    return [items[index] for index in sorted(order[:examples].tolist())]
