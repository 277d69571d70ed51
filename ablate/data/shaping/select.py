"""Which rows are kept of what the filters left: caps, exact sizes and mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ablate.data.sampling import checked_examples, drawn
from ablate.data.shaping.ledger import Ledger, Share
from ablate.errors import StageError, StudyError
from ablate.spec.shaping import MixPart, Shaping

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Wanted:
    """What a stage asks of its data set beside the shaping."""

    name: str
    """Of the data set, for messages."""
    seed: int
    """Of the draws: one seed, one order of the rows, of which a smaller size takes less."""
    examples: int | None = None
    """Exactly so many rows; None takes what there is."""


def chosen(available: Sequence[int], shaping: Shaping, wanted: Wanted, ledger: Ledger) -> Indices:
    """Return the sorted indices of the rows kept, given how many each source has, source by source.

    A cap takes at most so many; ``examples`` takes exactly so many or raises StageError. Without
    weights the parts of a mixture are joined and then drawn from; `_given` says what weights do.
    A part is drawn from like the same data set alone, so that the rows are the same ones.
    """
    rows = np.arange(sum(available))
    if shaping.mix:
        given = _given(available, shaping, wanted, ledger)
        starts = np.cumsum([0, *available[:-1]])
        rows = np.concatenate(
            [
                start + drawn(size, part, seed=wanted.seed)
                for start, size, part in zip(starts, available, given, strict=True)
            ]
        )
        if shaping.mix[0].weight is not None:
            return rows
    # Positions in a mixture are not rows of one file, so they have a stream of their own.
    purpose = "mixture" if shaping.mix else "subsample"
    kept = len(rows)
    for step, size in (("cap", shaping.cap), ("examples", wanted.examples)):
        if size is not None:
            if step == "examples":
                checked_examples(size, kept, wanted.name)
            count = ledger.step(step)
            count.before, count.after = kept, min(size, kept)
            kept = count.after
    return rows[drawn(len(rows), kept, seed=wanted.seed, purpose=purpose)]


def shares(weights: Sequence[float], total: int) -> list[int]:
    """Return integers that sum to ``total`` in proportion to weights: Hamilton's method.

    Each gets its share rounded down, and the largest remainders one more; of equal ones the first.
    """
    exact = [total * share for share in _proportions(weights)]
    floors = [int(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda place: floors[place] - exact[place])
    for place in by_remainder[: total - sum(floors)]:
        floors[place] += 1
    return floors


def largest_total(weights: Sequence[float], supplies: Sequence[int]) -> int:
    """Return the largest total whose share every part can supply in full."""
    proportions = _proportions(weights)
    return min(int(supply / share) for supply, share in zip(supplies, proportions, strict=True))


def _proportions(weights: Sequence[float]) -> list[Fraction]:
    # As the study writes them: 0.1 is a tenth and not the nearest binary fraction, whose excess
    # would decide ties.
    exact = [Fraction(repr(weight)) for weight in weights]
    return [weight / sum(exact) for weight in exact]


def _given(available: Sequence[int], shaping: Shaping, wanted: Wanted, ledger: Ledger) -> list[int]:
    """Return how many rows each part of a mixture gives, and put the shares into the ledger.

    With weights and ``examples`` every part gives its share of the total or StageError says which
    is too small; with weights and a cap such a part gives all it has and the mixture is smaller
    than the cap; with weights alone the total is the largest that every part can supply.
    """
    supplies = [_supply(part, size) for part, size in zip(shaping.mix, available, strict=True)]
    weights = [part.weight for part in shaping.mix if part.weight is not None]
    asked = supplies
    if weights:
        if len(weights) < len(supplies):
            bare = next(part.dataset for part in shaping.mix if part.weight is None)
            raise StudyError(
                f"mix: {bare!r} has no weight and other parts have one; weights for all or for "
                "none are allowed. Add the weight."
            )
        if shaping.cap is not None and wanted.examples is not None:
            checked_examples(wanted.examples, shaping.cap, wanted.name)
        total = shaping.cap if wanted.examples is None else wanted.examples
        asked = shares(weights, largest_total(weights, supplies) if total is None else total)
    given = [min(pair) for pair in zip(asked, supplies, strict=True)]
    count = ledger.step("mix")
    count.before, count.after = sum(available), sum(given)
    rows = zip(shaping.mix, available, asked, given, strict=True)
    ledger.shares += [Share(part.dataset, *numbers) for part, *numbers in rows]
    if weights and wanted.examples is not None:
        _require_all(ledger.shares, wanted.examples)
    return given


def _supply(part: MixPart, available: int) -> int:
    """Return how many rows a part can give at most."""
    if not available:
        raise StageError(
            f"mix: data set {part.dataset!r} has no usable row; at least one is needed. Check its "
            "slice and the filters.",
            kind="bad_data",
        )
    if part.examples is None:
        return available
    checked_examples(part.examples, available, part.dataset)
    return part.examples


def _require_all(parts: Sequence[Share], examples: int) -> None:
    for part in parts:
        if part.given < part.asked:
            raise StageError(
                f"mix: data set {part.source!r}: its share of {examples} examples is {part.asked}; "
                f"at most {part.given} are usable. Ask for fewer, or set cap in place of examples.",
                kind="bad_data",
            )
