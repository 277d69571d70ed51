from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from ablate.models.uniforms import inverse_cdf, uniforms

M = (1 << 64) - 1


def splitmix(state: int) -> int:
    """One output of Steele, Lea & Flood's splitmix64 in Python's own integers."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & M
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & M
    return state ^ (state >> 31)


def test_numbers_follow_the_scalar_hash_chain() -> None:
    golden = 0x9E3779B97F4A7C15
    seed, step, prompt, sample, position = 7, 3, 2**63 - 5, 1, 4
    state = 0
    for number in (seed, step, prompt, sample):
        state = splitmix(((state ^ number) + golden) & M)
    expected = (splitmix((state + golden * (position + 1)) & M) >> 11) / 2**53
    assert uniforms(seed, step, [(prompt, sample)], 6)[0, position] == expected


def test_splitmix_matches_its_published_first_output() -> None:
    # The generator with seed 0 first returns the mix of one golden step (Vigna's splitmix64.c).
    assert splitmix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize("axis", ["position", "prompt", "sample", "step", "seed"])
def test_numbers_look_uniform_and_uncorrelated_along_every_axis(axis: str) -> None:
    n = 4000
    by_axis: dict[str, Callable[[], Any]] = {
        "position": lambda: uniforms(0, 0, [(5, 0)], n)[0],
        "prompt": lambda: uniforms(0, 0, [(i, 0) for i in range(n)], 1)[:, 0],
        "sample": lambda: uniforms(0, 0, [(5, i) for i in range(n)], 1)[:, 0],
        "step": lambda: np.array([uniforms(0, i, [(5, 0)], 1)[0, 0] for i in range(n)]),
        "seed": lambda: np.array([uniforms(i, 0, [(5, 0)], 1)[0, 0] for i in range(n)]),
    }
    numbers = by_axis[axis]()
    assert stats.kstest(numbers, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 4 / n**0.5


def test_each_part_of_the_identity_gives_other_numbers() -> None:
    drawn = [
        tuple(uniforms(seed, step, [(prompt, sample)], 2)[0])
        for seed, step, prompt, sample in itertools.product((0, 1), repeat=4)
    ]
    assert len(set(drawn)) == 16


def test_numbers_do_not_depend_on_the_other_requests_or_the_length() -> None:
    alone = uniforms(1, 2, [(9, 3)], 5)[0]
    beside = uniforms(1, 2, [(8, 0), (9, 3), (9, 4)], 11)[1, :5]
    np.testing.assert_array_equal(alone, beside)


@pytest.mark.parametrize("number", [0.0, 0.25, 0.5, 1 - 2.0**-53])
def test_a_token_without_probability_is_never_chosen(number: float) -> None:
    weights = torch.tensor([[0.0, 0.0, 1.0, 0.0, 3.0, 0.0]])
    token, total = inverse_cdf(weights, torch.tensor([number], dtype=torch.float64))
    # A quarter of the weight is on token 2, the rest on token 4; 0.25 is where token 4 begins.
    assert token.item() == (2 if number < 0.25 else 4)
    assert total.item() == 4


def test_no_zero_token_is_chosen_in_any_block_of_a_large_vocabulary() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(200, 1000, generator=generator) ** 20
    weights[torch.rand(200, 1000, generator=generator) < 0.9] = 0
    weights[:, 700] = 1e-30  # so that no row is empty
    edges = torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.float64)
    for edge in edges:
        tokens, _ = inverse_cdf(weights, edge.expand(200))
        assert (weights.gather(1, tokens[:, None]) > 0).all()


def test_two_level_sums_choose_what_a_flat_sum_chooses() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(300, 5000, generator=generator).mul(3).exp()
    numbers = torch.rand(300, generator=generator, dtype=torch.float64)
    flat = weights.double().cumsum(-1)
    expected = torch.searchsorted(flat, (numbers * flat[:, -1])[:, None], right=True)[:, 0]
    tokens, total = inverse_cdf(weights, numbers)
    assert torch.equal(tokens, expected)
    torch.testing.assert_close(total, flat[:, -1], rtol=1e-12, atol=0)


def test_tokens_come_as_often_as_their_probability_says() -> None:
    weights = torch.tensor([10.0, 0.0, 6.0, 3.0, 1.0])  # of 20
    numbers = torch.from_numpy(uniforms(0, 0, [(1, 0)], 20_000)[0])
    tokens, _ = inverse_cdf(weights.expand(20_000, -1), numbers)
    counts = torch.bincount(tokens, minlength=5).tolist()
    assert counts.pop(1) == 0
    assert stats.chisquare(counts, [10_000, 6_000, 3_000, 1_000]).pvalue > 0.001
