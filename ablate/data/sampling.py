"""Seeded subsamples of data that exists already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

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
    checked_examples(examples, len(items), name)
    return [items[index] for index in drawn(len(items), examples, seed=seed).tolist()]


def drawn(available: int, size: int, *, seed: int, purpose: str = "subsample") -> NDArray[np.intp]:
    """Return the sorted indices of ``size`` of the rows, or of all where there are fewer.

    The rows with the smallest uniforms are taken, so a smaller draw is part of a larger one.
    """
    order = np.argsort(generator(seed, purpose).random(available), kind="stable")
    return np.sort(order[:size])


def checked_examples(examples: int, available: int, name: str) -> None:
    """Raise StageError where more rows are asked for than there are."""
    if examples > available:
        raise StageError(
            f"data set {name!r}: examples is {examples}; at most {available} are usable. "
            "Ask for fewer.",
            kind="bad_data",
        )
