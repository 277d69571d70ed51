"""Token rows of demonstrations and pairs, with one rule for what is too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ablate.data.records import Demonstration, Pair
from ablate.errors import StageError
from ablate.models.batching import row_lengths
from ablate.models.boundary import Boundary, Row
from ablate.store.workspace import Workspace


@dataclass(frozen=True)
class PairRows:
    """Both completions of every pair that is not too long."""

    chosen: list[Row]
    rejected: list[Row]
    kept: list[int]
    """Positions of these pairs among all."""

    def lengths(self) -> list[int]:
        """Return tokens of each pair's longer row."""
        sides = zip(row_lengths(self.chosen), row_lengths(self.rejected), strict=True)
        return [max(lengths) for lengths in sides]

    def of(self, pairs: Sequence[int]) -> list[Row]:
        """Return the rows of some pairs, all chosen ones first: one forward pass sees both."""
        return [self.chosen[i] for i in pairs] + [self.rejected[i] for i in pairs]

    def tokens(self, pairs: Sequence[int]) -> int:
        """Return the completion tokens of some pairs."""
        return sum(len(row.completion) for row in self.of(pairs))


def demonstration_rows(
    boundary: Boundary, demonstrations: Sequence[Demonstration], max_length: int
) -> list[Row]:
    """Return the rows that fit; a longer one is dropped, never cut."""
    rows = [
        Row(boundary.prompt_ids(item.prompt), boundary.completion_ids(item.completion))
        for item in demonstrations
    ]
    return [row for row in rows if row_lengths([row])[0] <= max_length]


def pair_rows(boundary: Boundary, pairs: Sequence[Pair], max_length: int) -> PairRows:
    """Return the pairs whose completions both fit; the others are dropped, never cut."""
    rows = PairRows([], [], [])
    for index, pair in enumerate(pairs):
        prompt = boundary.prompt_ids(pair.prompt)
        chosen = Row(prompt, boundary.completion_ids(pair.chosen))
        rejected = Row(prompt, boundary.completion_ids(pair.rejected))
        if max(row_lengths([chosen, rejected])) <= max_length:
            rows.chosen.append(chosen)
            rows.rejected.append(rejected)
            rows.kept.append(index)
    return rows


def count_kept(workspace: Workspace, what: str, *, kept: int, total: int) -> None:
    """Count what was dropped for length; raise StageError (``bad_data``) if nothing is left."""
    workspace.count(dropped_long=total - kept)
    if kept == 0:
        raise StageError(
            f"{workspace.stage}: 0 of {total} {what} fit in max_length;"
            " at least one is needed. Raise max_length, or look at the data.",
            kind="bad_data",
        )
