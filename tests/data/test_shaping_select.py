"""Caps, exact sizes and mixtures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.data.sampling import subsample
from ablate.data.shaping.ledger import Count, Ledger, Share
from ablate.data.shaping.select import Wanted, chosen, largest_total, shares
from ablate.errors import StageError, StudyError
from ablate.spec.shaping import MixPart, Shaping


def rows(
    available: Sequence[int], examples: int | None = None, *, seed: int = 0, **fields: Any
) -> list[int]:
    """Return the rows that are kept, and check that they are sorted."""
    wanted = Wanted("mine", seed, examples)
    found = chosen(available, Shaping(**fields), wanted, Ledger()).tolist()
    assert found == sorted(set(found))
    return found


def mix(*parts: tuple[str, float | None, int | None]) -> tuple[MixPart, ...]:
    return tuple(MixPart(dataset=name, weight=w, examples=n) for name, w, n in parts)


def given_by(available: Sequence[int], found: Sequence[int]) -> list[int]:
    """Return how many of the rows are of each source."""
    edges = np.cumsum([0, *available])
    return np.histogram(found, edges)[0].tolist()


def test_examples_takes_the_rows_that_a_subsample_always_took() -> None:
    items = list(range(50))
    assert rows([50], 20, seed=3) == subsample(items, 20, seed=3, name="x")
    assert rows([50], 20, seed=4) != rows([50], 20, seed=3)


def test_the_rows_of_a_subsample_are_pinned() -> None:
    # Other rows here would change what every study trained on.
    assert rows([12], 4, seed=0) == subsample(list(range(12)), 4, seed=0, name="x") == PINNED


PINNED = [3, 5, 6, 10]


def test_a_cap_takes_at_most_so_many_and_examples_exactly() -> None:
    assert rows([50], cap=20) == rows([50], 20)
    assert rows([5], cap=20) == [0, 1, 2, 3, 4]
    assert rows([50], 10, cap=20) == rows([50], 10)
    with pytest.raises(StageError, match="'mine': examples is 6; at most 5 are usable") as error:
        rows([5], 6)
    assert error.value.kind == "bad_data"
    with pytest.raises(StageError, match="examples is 30; at most 20 are usable"):
        rows([50], 30, cap=20)


def test_the_steps_are_counted() -> None:
    ledger = Ledger()
    chosen([50], Shaping(cap=60), Wanted("mine", 0, 10), ledger)
    assert ledger.steps == [Count("cap", 50, 50), Count("examples", 50, 10)]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(0, 200), st.integers(0, 200), st.integers(0, 5))
def test_a_smaller_subsample_is_part_of_a_larger_one(
    available: int, one: int, other: int, seed: int
) -> None:
    small, large = sorted((min(one, available), min(other, available)))
    if small:
        assert set(rows([available], small, seed=seed)) <= set(rows([available], large, seed=seed))


def test_shares_are_rounded_by_largest_remainder() -> None:
    # Quotas 4.7, 3.3, 2.0: floors 4, 3, 2, and the one that is left to the remainder 0.7.
    assert shares([47, 33, 20], 10) == [5, 3, 2]
    # Quotas 10/3 each: the first of equal remainders.
    assert shares([1, 1, 1], 10) == [4, 3, 3]
    # Quotas 1.5, 0.5 and 3: a tie, which as binary fractions 0.1, the larger, would win.
    assert shares([0.3, 0.1, 0.6], 5) == [2, 0, 3]
    assert shares([1.0, 3.0], 0) == [0, 0]


@given(
    st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6), st.integers(min_value=0, max_value=1000)
)
def test_shares_sum_to_the_total_and_are_within_one_of_the_quota(
    weights: list[float], total: int
) -> None:
    found = shares(weights, total)
    assert sum(found) == total
    for share, weight in zip(found, weights, strict=True):
        assert abs(share - total * weight / sum(weights)) < 1 + 1e-6


def test_the_largest_total_is_what_the_scarcest_part_allows() -> None:
    # 30 rows at a share of 3/4 allow 40 rows, 20 at 1/4 would allow 80.
    assert largest_total([3, 1], [30, 20]) == 40
    # 5 / (2/3) = 7.5
    assert largest_total([2, 1], [5, 5]) == 7
    assert largest_total([0.1, 0.9], [1, 100]) == 10


@given(
    st.lists(st.tuples(st.floats(0.01, 10), st.integers(0, 300)), min_size=1, max_size=5),
)
def test_every_part_has_its_share_of_the_largest_total(parts: list[tuple[float, int]]) -> None:
    weights, supplies = [weight for weight, _ in parts], [supply for _, supply in parts]
    total = largest_total(weights, supplies)
    assert all(a <= b for a, b in zip(shares(weights, total), supplies, strict=True))
    quotas = [(total + 1) * weight / sum(weights) for weight in weights]
    assert any(quota > supply - 1e-6 for quota, supply in zip(quotas, supplies, strict=True))


def test_weights_with_a_total_divide_it() -> None:
    parts = mix(("a", 0.75, None), ("b", 0.25, None))
    for fields in ({"examples": 20}, {"cap": 20}):
        assert given_by([40, 40], rows([40, 40], mix=parts, **fields)) == [15, 5]


def test_weights_without_a_total_take_as_much_as_every_part_has() -> None:
    parts = mix(("a", 3.0, None), ("b", 1.0, None))
    assert given_by([30, 20], rows([30, 20], mix=parts)) == [30, 10]


def test_a_part_that_is_too_small_for_a_cap_gives_all_and_is_recorded() -> None:
    ledger = Ledger()
    parts = mix(("a", 1.0, None), ("b", 1.0, None))
    found = chosen([4, 40], Shaping(mix=parts, cap=20), Wanted("mine", 0), ledger)
    assert given_by([4, 40], found.tolist()) == [4, 10]
    assert ledger.shares == [Share("a", 4, 10, 4), Share("b", 40, 10, 10)]
    assert ledger.steps == [Count("mix", 44, 14)]


def test_a_part_that_is_too_small_for_examples_is_an_error() -> None:
    parts = mix(("a", 1.0, None), ("b", 1.0, None))
    with pytest.raises(StageError, match="'a': its share of 20 examples is 10; at most 4 are"):
        rows([4, 40], 20, mix=parts)
    with pytest.raises(StageError, match="examples is 20; at most 8 are usable"):
        rows([40, 40], 20, cap=8, mix=parts)


def test_without_weights_parts_are_joined_and_then_drawn_from() -> None:
    parts = mix(("a", None, None), ("b", None, 5))
    assert given_by([7, 9], rows([7, 9], mix=parts)) == [7, 5]
    assert len(rows([7, 9], mix=parts, cap=10)) == 10
    assert set(rows([7, 9], 6, mix=parts)) < set(rows([7, 9], 10, mix=parts))
    with pytest.raises(StageError, match="'mine': examples is 13; at most 12 are usable"):
        rows([7, 9], 13, mix=parts)
    with pytest.raises(StageError, match="'b': examples is 5; at most 4 are usable"):
        rows([7, 4], mix=parts)


def test_a_part_of_a_mixture_is_the_same_rows_as_the_set_alone() -> None:
    found = rows([30, 40], seed=2, mix=mix(("a", None, 10), ("b", None, 12)))
    assert found[:10] == rows([30], 10, seed=2)
    assert [row - 30 for row in found[10:]] == rows([40], 12, seed=2)
    weighted = rows([30, 40], 20, seed=2, mix=mix(("a", 1.0, None), ("b", 1.0, 15)))
    assert weighted[:10] == rows([30], 10, seed=2)


def test_a_part_gives_at_most_its_own_examples() -> None:
    parts = mix(("a", 1.0, 6), ("b", 1.0, None))
    assert given_by([40, 40], rows([40, 40], mix=parts)) == [6, 6]


def test_weights_on_some_parts_only_are_refused() -> None:
    with pytest.raises(StudyError, match="mix: 'b' has no weight and other parts have one"):
        rows([3, 3], mix=mix(("a", 1.0, None), ("b", None, None)))


def test_a_part_without_rows_is_refused() -> None:
    with pytest.raises(StageError, match="mix: data set 'b' has no usable row"):
        rows([3, 0], mix=mix(("a", None, None), ("b", None, None)))
