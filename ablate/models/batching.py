"""Rows of token ids as padded tensors, and their split into batches of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ablate.models.boundary import Row

ALIGN = 8
"""Lengths and row counts are rounded up to multiples of this, so that matrix products take the same
kernel and a row's bits do not depend on its neighbours."""
MAX_TOKENS = 16_384
"""Padded tokens in one forward pass, unless the caller says otherwise."""
BATCH_OVERHEAD_TOKENS = 128
"""What starting another forward pass costs, in tokens of a tiny model (1.5 ms at 12 us a token)."""


class Layout(NamedTuple):
    """Where the completion tokens of some rows are; N is their number, rounded up to `ALIGN`."""

    ids: Tensor  # (B, L), right-padded with 0
    tokens: Tensor  # (N,) the completion tokens, row after row, then 0
    before: Tensor  # (N,) index into (B * L) of the position before each token, then 0
    last: Tensor  # (B rounded up,) index into (B * L) of each row's last token, then 0
    n_tokens: int
    packing: Any = None
    """How attention sees the rows where they are packed (`ablate.models.packing`)."""


def round_up(number: int, multiple: int = ALIGN) -> int:
    """Return the smallest multiple that is not below the number."""
    return -(-number // multiple) * multiple


def row_lengths(rows: Sequence[Row]) -> list[int]:
    """Return prompt plus completion tokens of each row."""
    return [len(prompt) + len(completion) for prompt, completion in rows]


def padded_width(length: int) -> int:
    """Return the length that the longest row of a scoring pass is padded to.

    Attention over fewer than 16 positions takes another kernel, with other last bits.
    """
    return max(16, round_up(length))


def pad_ids(sequences: Sequence[Sequence[int]], width: int) -> Tensor:
    """Return right-padded ids, shape (B, width); the filler is 0."""
    padded = np.zeros((len(sequences), width), dtype=np.int64)
    for row, ids in enumerate(sequences):
        padded[row, : len(ids)] = ids
    return torch.from_numpy(padded)


def pad_index(index: Sequence[int]) -> Tensor:
    """Return the numbers, followed by zeros up to a multiple of `ALIGN`."""
    padded = np.zeros(round_up(len(index)), dtype=np.int64)
    padded[: len(index)] = index
    return torch.from_numpy(padded)


def layout(rows: Sequence[Row], device: torch.device) -> Layout:
    """Lay the rows out for one forward pass; every prompt must hold a token.

    No rows give a row of padding and no tokens: a rank's part in a pass that others need.
    """
    if any(len(prompt) == 0 for prompt, _ in rows):
        raise ValueError("every prompt needs a token: the first completion token follows a state")
    width = padded_width(max(row_lengths(rows), default=0))
    ids = pad_ids([(*prompt, *completion) for prompt, completion in rows] or [()], width)
    before: list[int] = []
    tokens: list[int] = []
    last: list[int] = []
    for row, (prompt, completion) in enumerate(rows):
        first = row * width + len(prompt)
        before.extend(range(first - 1, first - 1 + len(completion)))
        tokens.extend(completion)
        last.append(first + len(completion) - 1)
    return Layout(
        ids=ids.to(device),
        tokens=pad_index(tokens).to(device),
        before=pad_index(before).to(device),
        last=pad_index(last).to(device),
        n_tokens=len(tokens),
    )


def length_buckets(
    lengths: Sequence[int], *, max_rows: int | None = None, max_tokens: int = MAX_TOKENS
) -> list[list[int]]:
    """Return batches of row numbers, short rows first, that waste little on padding.

    Among the splits of the rows sorted by length this is the one with the fewest padded tokens,
    each batch counted as `BATCH_OVERHEAD_TOKENS` more. A row longer than ``max_tokens`` gets a
    batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda row: (lengths[row], row))
    widths = [padded_width(lengths[row]) for row in order]
    n = len(order)
    cuts = [0, *(i for i in range(1, n) if widths[i] != widths[i - 1]), n] if n else [0]
    # best[j]: cost of the rows before cuts[j], and the cut where its last batch starts.
    best: list[tuple[int, int]] = [(0, 0)]
    for j in range(1, len(cuts)):
        width = widths[cuts[j] - 1]
        best.append(
            min(
                (best[i][0] + (cuts[j] - cuts[i]) * width + BATCH_OVERHEAD_TOKENS, i)
                for i in range(j)
            )
        )
    spans: list[tuple[int, int]] = []
    j = len(cuts) - 1
    while j > 0:
        i = best[j][1]
        spans.append((cuts[i], cuts[j]))
        j = i
    batches: list[list[int]] = []
    for start, stop in reversed(spans):
        size = max(1, max_tokens // widths[stop - 1])
        size = size if max_rows is None else min(size, max_rows)
        batches.extend(order[at : min(at + size, stop)] for at in range(start, stop, size))
    return batches
