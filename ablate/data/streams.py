"""Random streams: each purpose draws from a generator of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

import numpy as np

T = TypeVar("T")
BLOCK = 4096


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Return the generator of ``(seed, purpose)``, independent of every other one."""
    key = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.PCG64([seed, key]))


class Draws:
    """Small draws from uniforms taken in blocks: numpy's own scalar draws are 20 times slower.

    Only ``Generator.random`` is used, so a stream does not change with numpy's version.
    """

    def __init__(self, seed: int, purpose: str) -> None:
        """Open the stream of ``(seed, purpose)``."""
        rng = generator(seed, purpose)
        blocks: Iterator[list[float]] = iter(lambda: rng.random(BLOCK).tolist(), None)
        self.unit: Callable[[], float] = chain.from_iterable(blocks).__next__
        """Return the next uniform in [0, 1)."""

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self.unit() < probability

    def choice(self, options: Sequence[T]) -> T:
        """Return one of the options, all equally likely."""
        return options[int(self.unit() * len(options))]

    def sample(self, options: Sequence[T], size: int) -> list[T]:
        """Return ``size`` distinct options in random order."""
        rest = list(options)
        return [rest.pop(int(self.unit() * len(rest))) for _ in range(size)]


def distinct_draw(weights: Sequence[float], size: int, rng: np.random.Generator) -> list[int]:
    """Return indices drawn without replacement, in random order, likelier where the weight is high.

    Where ``size`` exceeds the number of options, every option is drawn once before any is again.
    """
    share = np.asarray(weights, dtype=np.float64)
    drawn: list[int] = []
    while len(drawn) < size:
        # Ordering by Exp(weight) variables is successive weighted sampling (Efraimidis and
        # Spirakis 2006).
        keys = -np.log1p(-rng.random(len(share))) / share
        drawn.extend(np.argsort(keys, kind="stable")[: size - len(drawn)].tolist())
    return drawn


def spread_draw(weights: Sequence[float], size: int, rng: np.random.Generator) -> list[int]:
    """Return ``size`` distinct indices, each with a chance in proportion to its weight, shuffled.

    Systematic sampling: the choices lie evenly along the options, so that neighbours, which are of
    one kind, get their share almost exactly. No weight may exceed 1/size of the total.
    """
    sums = np.cumsum(weights, dtype=np.float64)
    if size * max(weights) > sums[-1]:
        raise ValueError(f"{size} choices spread over {len(sums)} options are not distinct")
    points = (np.arange(size) + rng.random()) / size * sums[-1]
    chosen = np.searchsorted(sums, points, side="right")
    order = np.argsort(rng.random(size), kind="stable")
    return [int(index) for index in chosen[order]]
