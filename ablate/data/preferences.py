"""Preference data: the stage that makes it, and what later stages read of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ablate.data.artifacts import (
    ATTRIBUTES,
    PAIRS,
    RANKINGS,
    ItemWriter,
    read_records,
)
from ablate.data.making import Wish, loaded, local_origin
from ablate.data.records import Judged, Pair, Ranking, RatedReply
from ablate.data.sampling import subsample
from ablate.data.shaping.items import Item
from ablate.data.tiny.catalogue import WORLD
from ablate.data.tiny.preferences import evaluation_pairs
from ablate.spec.shaping import Origin, Shaping


def load_pairs(
    name: str, *, examples: int | None, seed: int, location: str = ""
) -> tuple[list[Pair], Counter[str]]:
    """Return the pairs of a registry name or file, and the rows dropped by reason."""
    items, dropped = loaded(local_origin(name, location), Wish("preferences", seed, examples))
    return _pairs(items), dropped


def load_evaluation_pairs(
    origin: Origin, *, examples: int, seed: int, shaping: Shaping | None = None
) -> dict[str, list[Pair]]:
    """Return pairs to measure a reward model with, by kind: ``ordinary``, and ``hard`` if made.

    Of real data up to ``examples`` are taken: the whole test part where it is smaller.
    """
    name = origin.dataset
    if name == WORLD:
        return {
            "ordinary": evaluation_pairs("ordinary", seed, examples),
            "hard": evaluation_pairs("hard", seed, examples),
        }
    items, _ = loaded(origin, Wish("preferences", seed, part="test"), shaping)
    pairs = _pairs(items)
    return {"ordinary": subsample(pairs, min(examples, len(pairs)), seed=seed, name=name)}


def write_pairs(pairs: Sequence[Pair], folder: Path) -> None:
    """Write the pairs as JSON lines; what nobody said (margin, scores, source) is left out."""
    with ItemWriter(folder) as writer:
        for pair in pairs:
            writer.add(Judged(pair))


def read_pairs(folder: Path) -> list[Pair]:
    """Return the pairs of a preference artifact, in file order."""
    return list(read_records(folder, PAIRS))


def read_rankings(folder: Path) -> list[Ranking]:
    """Return the rankings of a preference artifact, in file order; none where it has only pairs."""
    return list(read_records(folder, RANKINGS))


def read_rated_replies(folder: Path) -> list[RatedReply]:
    """Return the rated replies of a preference artifact, in file order; none where none is."""
    return list(read_records(folder, ATTRIBUTES))


def _pairs(items: Sequence[Item]) -> list[Pair]:
    return [item.pair for item in items if isinstance(item, Judged) and item.pair is not None]
