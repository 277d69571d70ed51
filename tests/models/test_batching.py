from __future__ import annotations

import itertools

import pytest
import torch

from ablate.models.batching import (
    BATCH_OVERHEAD_TOKENS,
    layout,
    length_buckets,
    pad_index,
    padded_width,
)
from ablate.models.boundary import Row

CPU = torch.device("cpu")


def test_a_layout_points_at_the_state_before_each_completion_token() -> None:
    rows = [Row((5, 6), (7, 8, 9)), Row((5,), (4,))]
    place = layout(rows, CPU)
    assert place.ids.tolist() == [[5, 6, 7, 8, 9] + [0] * 11, [5, 4] + [0] * 14]
    assert place.n_tokens == 4
    assert place.tokens.tolist() == [7, 8, 9, 4, 0, 0, 0, 0]
    # Row 0 predicts its three tokens from positions 1, 2, 3; row 1 begins at 16.
    assert place.before.tolist() == [1, 2, 3, 16, 0, 0, 0, 0]
    assert place.last.tolist() == [4, 17, 0, 0, 0, 0, 0, 0]


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="every prompt needs a token"):
        layout([Row((), (1, 2))], CPU)


def cost(batches: list[list[int]], lengths: list[int]) -> int:
    """Padded tokens and the price of starting each pass."""
    return sum(
        len(batch) * padded_width(max(lengths[row] for row in batch)) + BATCH_OVERHEAD_TOKENS
        for batch in batches
    )


def test_buckets_are_the_cheapest_split_of_the_sorted_rows() -> None:
    lengths = [12, 90, 14, 95, 33, 10, 300, 31, 15]
    order = sorted(range(9), key=lambda row: lengths[row])
    every_split = (
        [order[a:b] for a, b in itertools.pairwise((0, *cuts, 9))]
        for n in range(9)
        for cuts in itertools.combinations(range(1, 9), n)
    )
    found = length_buckets(lengths)
    assert cost(found, lengths) == min(cost(split, lengths) for split in every_split)
    assert sorted(row for batch in found for row in batch) == list(range(9))


def test_buckets_keep_to_the_limits_on_rows_and_tokens() -> None:
    lengths = [10] * 7 + [100] * 5
    assert max(map(len, length_buckets(lengths, max_rows=3))) == 3
    by_tokens = length_buckets(lengths, max_tokens=208)
    assert all(len(b) * padded_width(max(lengths[r] for r in b)) <= 208 for b in by_tokens)
    assert sorted(map(len, length_buckets([1000] * 3, max_tokens=100))) == [1, 1, 1]


def test_no_rows_make_no_batches() -> None:
    assert length_buckets([]) == []


def test_an_index_is_padded_to_a_multiple_of_eight() -> None:
    assert pad_index([3] * 9).tolist() == [3] * 9 + [0] * 7
