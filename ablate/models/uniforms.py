"""Uniform numbers by hash, and the token they choose: sampling without generator state.

The number for a token is a pure function of (seed, step, prompt, sample, position). No state has to
be carried, resumed, or drawn in a certain order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_BLOCK = 256
"""Tokens in a block of the two-level sum."""


def _mix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return the output function of splitmix64 (Steele, Lea & Flood 2014)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _absorb(
    state: npt.NDArray[np.uint64], numbers: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    return _mix((state ^ numbers) + np.uint64(_GOLDEN))


def uniforms(
    seed: int, step: int, requests: Sequence[tuple[int, int]], positions: int
) -> npt.NDArray[np.float64]:
    """Return numbers in [0, 1), shape (requests, positions), a multiple of 2**-53 each.

    A request is its prompt's content key and its sample number. The fp64 sums of `inverse_cdf` use
    all 53 bits; 24 would round the probability of rare tokens to multiples of 6e-8.
    """
    keys = np.array([[prompt & _MASK, sample & _MASK] for prompt, sample in requests], np.uint64)
    keys = keys.reshape(-1, 2)
    state = np.zeros(len(requests), np.uint64)
    for number in (seed, step):
        state = _absorb(state, np.full_like(state, number & _MASK))
    for column in (0, 1):
        state = _absorb(state, keys[:, column])
    steps = np.arange(1, positions + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
    bits = _mix(state[:, None] + steps) >> np.uint64(11)
    numbers: npt.NDArray[np.float64] = bits.astype(np.float64) * 2.0**-53
    return numbers


def inverse_cdf(weights: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return the token that each number falls on, shape (B,), and each row's total weight.

    ``weights`` are unnormalized probabilities of shape (B, V), ``numbers`` are in [0, 1). Blocks of
    256 are summed first, then the chosen block: as exact as a flat fp64 sum and an eighth of its
    cost at V = 49,152. A token of weight zero is never chosen.
    """
    rows, vocabulary = weights.shape
    if vocabulary % _BLOCK:
        weights = torch.nn.functional.pad(weights, (0, -vocabulary % _BLOCK))
    blocks = weights.view(rows, -1, _BLOCK)
    outer = blocks.sum(-1, dtype=torch.float64).cumsum(-1)  # (B, V / 256)
    total = outer[:, -1:]
    target = _below(numbers[:, None] * total, total)
    block = torch.searchsorted(outer, target, right=True)  # the first sum above the target
    start = torch.where(block > 0, outer.gather(1, (block - 1).clamp_min(0)), 0.0)
    chosen = blocks[torch.arange(rows, device=weights.device), block[:, 0]]
    inner = chosen.to(torch.float64).cumsum(-1)  # (B, 256)
    # The block's own sum may differ from its share of the outer sum in the last bit.
    rest = _below(target - start, inner[:, -1:])
    token = block * _BLOCK + torch.searchsorted(inner, rest, right=True)
    return token[:, 0], total[:, 0]


def _below(number: Tensor, bound: Tensor) -> Tensor:
    return torch.minimum(number, torch.nextafter(bound, torch.zeros_like(bound)))
