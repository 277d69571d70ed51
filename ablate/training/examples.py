"""Token rows of demonstrations and pairs, with one rule for what is too long.

They come from the ``tokens`` input, which every job on the same data shares, or are made here of
the data itself; the rows are the same. Either way they are flat arrays of numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablate.data.demonstrations import demonstrations_of
from ablate.data.records import Demonstration, Pair
from ablate.data.stored import Stored, stored_demonstrations, stored_feedback, stored_pairs
from ablate.errors import StageError
from ablate.models.boundary import Boundary, Row
from ablate.models.token_store import (
    Numbers,
    StoredRows,
    TokenTable,
    completion_lengths_of,
    joined,
    lengths_of,
    open_table,
)
from ablate.models.tokenizing import demonstration_table, feedback_table, pair_table
from ablate.spec.stages import SftConfig
from ablate.store.workspace import Workspace

logger = logging.getLogger(__name__)

TOKENS = "tokens"
"""Role of the artifact with the token rows of a stage's data."""


@dataclass(frozen=True)
class PairRows:
    """Both completions of every pair that is not too long."""

    chosen: Sequence[Row]
    rejected: Sequence[Row]
    kept: Sequence[int] | Numbers
    """Positions of these pairs among all."""
    margins: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(pairs,) how much better each chosen reply was found; NaN where nobody said it."""

    def lengths(self) -> Numbers:
        """Return tokens of each pair's longer row, (pairs,)."""
        found: Numbers = np.maximum(lengths_of(self.chosen), lengths_of(self.rejected))
        return found

    def both(self) -> Sequence[Row]:
        """Return all chosen rows and then all rejected ones."""
        return joined(self.chosen, self.rejected)

    def of(self, pairs: Sequence[int]) -> list[Row]:
        """Return the rows of some pairs, all chosen ones first: one forward pass sees both."""
        return [self.chosen[i] for i in pairs] + [self.rejected[i] for i in pairs]

    def completions(self, pairs: Sequence[int]) -> tuple[Numbers, Numbers]:
        """Return the completion tokens of some pairs' chosen and rejected replies, (pairs,)."""
        chosen, rejected = (some(side, pairs) for side in (self.chosen, self.rejected))
        return completion_lengths_of(chosen), completion_lengths_of(rejected)

    def tokens(self, pairs: Sequence[int]) -> int:
        """Return the completion tokens of some pairs."""
        return int(sum(side.sum() for side in self.completions(pairs)))


def some(rows: Sequence[Row], numbers: Sequence[int]) -> Sequence[Row]:
    """Return the rows of some numbers; stored ones are not read before they are asked for."""
    if isinstance(rows, StoredRows):
        return rows.take(numbers)
    return [rows[i] for i in numbers]


def needed_pairs(inputs: Mapping[str, Path]) -> Stored[Pair]:
    """Return the pairs of the ``preferences`` input.

    Raises StageError (``bad_data``) where it has none.
    """
    pairs = stored_pairs(inputs["preferences"])
    if pairs.size:
        return pairs
    thumbs = stored_feedback(inputs["preferences"]).size
    raise StageError(
        f"preferences: the data set has {'thumbs up and down, but ' if thumbs else ''}no pairs;"
        " only kto (backend native) learns from thumbs. Use data of pairs, or kto with thumbs.",
        kind="bad_data",
    )


def read_pair_table(inputs: Mapping[str, Path], boundary: Boundary) -> TokenTable:
    """Return the token rows of the ``preferences`` input's pairs."""
    pairs = needed_pairs(inputs)
    stored = _shared(inputs, boundary, kind="pairs", source_bytes=pairs.size)
    return pair_table(boundary, pairs) if stored is None else stored


def read_feedback_table(inputs: Mapping[str, Path], boundary: Boundary) -> TokenTable:
    """Return the token rows of the ``preferences`` input's thumbs; margins are 1 and -1."""
    thumbs = stored_feedback(inputs["preferences"])
    stored = None
    if not stored_pairs(inputs["preferences"]).size:  # Else the shared rows are those of the pairs.
        stored = _shared(inputs, boundary, kind="feedback", source_bytes=thumbs.size)
    return feedback_table(boundary, thumbs) if stored is None else stored


def read_demonstration_table(
    inputs: Mapping[str, Path], boundary: Boundary, config: SftConfig
) -> TokenTable:
    """Return the token rows of an SFT stage's data: its input's, or the configured data set's."""
    if "demonstrations" not in inputs:
        return demonstration_table(boundary, demonstrations_of({}, config))
    items = stored_demonstrations(inputs["demonstrations"])
    stored = _shared(inputs, boundary, kind="demonstrations", source_bytes=items.size)
    return demonstration_table(boundary, items) if stored is None else stored


def _shared(
    inputs: Mapping[str, Path], boundary: Boundary, *, kind: str, source_bytes: int
) -> TokenTable | None:
    """Return the rows of the ``tokens`` input; None where it is missing or another tokenizer's."""
    if TOKENS not in inputs:
        return None
    table = open_table(inputs[TOKENS], kind=kind, source_bytes=source_bytes)
    if table.tokenizer != boundary.identity():
        # A model that was trained elsewhere may come back with its tokenizer spelled differently.
        logger.info("the stored tokens are another tokenizer's; the data is tokenized again")
        return None
    return table


def fitting_demonstrations(table: TokenTable, max_length: int) -> StoredRows:
    """Return the rows that fit; a longer one is dropped, never cut."""
    lengths = table.lengths("prompt") + table.lengths("completion")
    return table.rows("completion", np.flatnonzero(lengths <= max_length))


def fitting_pairs(table: TokenTable, max_length: int) -> PairRows:
    """Return the pairs whose completions both fit; the others are dropped, never cut."""
    replies = np.maximum(table.lengths("chosen"), table.lengths("rejected"))
    kept = np.flatnonzero(table.lengths("prompt") + replies <= max_length)
    chosen, rejected = table.rows("chosen", kept), table.rows("rejected", kept)
    return PairRows(chosen, rejected, kept, table.margins[kept])


def demonstration_rows(
    boundary: Boundary, demonstrations: Iterable[Demonstration], max_length: int
) -> StoredRows:
    """Return the rows of demonstrations that fit."""
    return fitting_demonstrations(demonstration_table(boundary, demonstrations), max_length)


def pair_rows(boundary: Boundary, pairs: Iterable[Pair], max_length: int) -> PairRows:
    """Return the rows of pairs that fit."""
    return fitting_pairs(pair_table(boundary, pairs), max_length)


def count_kept(workspace: Workspace, what: str, *, kept: int, total: int) -> None:
    """Count what was dropped for length; raise StageError (``bad_data``) if nothing is left."""
    workspace.count(dropped_long=total - kept)
    if kept == 0:
        raise StageError(
            f"{workspace.stage}: 0 of {total} {what} fit in max_length;"
            " at least one is needed. Raise max_length, or look at the data.",
            kind="bad_data",
        )
