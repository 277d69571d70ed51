"""Random streams that depend on a seed and a purpose, never on what was drawn before."""

from __future__ import annotations

import hashlib

import torch


def derived_seed(seed: int, *purpose: object) -> int:
    """Return a 63-bit seed for one purpose of a stage, such as ``("order", epoch)``."""
    text = repr((seed, *map(str, purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: object) -> torch.Generator:
    """Return a fresh CPU generator for one purpose."""
    return torch.Generator().manual_seed(derived_seed(seed, *purpose))


def permutation(n: int, seed: int, *purpose: object) -> list[int]:
    """Return the numbers below ``n`` in an order that depends on seed and purpose only."""
    order: list[int] = torch.randperm(n, generator=generator(seed, *purpose)).tolist()
    return order
