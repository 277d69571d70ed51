"""Rows of unequal length as one row without padding, each distinct prompt in it once.

Everything but attention treats tokens one by one, so it runs on the tokens themselves: no padding,
and the prompt that several completions share is computed once. Only attention sees whole rows: they
are spread out to their own prompt and completion, and rows of about equal length attend together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from ablate.models.backbone import body, device_of, unwrapped
from ablate.models.batching import MAX_TOKENS, Layout, pad_index, round_up
from ablate.models.boundary import Row

ATTENTION = "ablate-packed"
"""Name under which transformers finds the attention of packed rows."""
WIDTH_ALIGN = 16
"""Rows attend together when their lengths are equal after rounding up to this. Attention is less
than a tenth of a pass, and each further group costs as much as hundreds of tokens in it."""
CACHED_ELEMENTS = 1 << 19
"""Elements of hidden states in a pass without gradients: 2,048 tokens of width 256 took 0.69 s,
16,384 took 0.99 s; at width 64 8,192 tokens were best."""
LEAST_TOKENS = 2048
"""Below this the weights of a wide model are read too often."""
PACKABLE = frozenset({"gpt2", "llama", "mistral", "qwen2", "qwen3"})
"""Model types whose attention takes query, key and value alone, as tests show for each."""


@dataclass(frozen=True)
class Packing:
    """How N packed tokens and the M cells of the rows in attention map onto each other.

    A cell is a position of a row that is padded to its group's width.
    """

    positions: Tensor  # (1, N) of each token in its row
    tokens: Tensor  # (M,) the token in each cell; token 0 where a cell is padding
    cells: Tensor  # (N,) the first cell of each token
    owners: Tensor  # (M, 1) 1.0 where a cell is its token's first, else 0.0
    copied_cells: Tensor  # (C,) cells that hold a prompt token again
    copied_tokens: Tensor  # (C,) which token that is
    groups: tuple[tuple[int, int], ...]
    """Rows and width of each group of cells, in order."""
    alike: bool
    """Whether cells and tokens are the same: rows of one length that share nothing."""


def packable(model: nn.Module) -> bool:
    """Return whether rows of a model are packed: on a CPU, for attention that is known."""
    plain = unwrapped(model)
    # Activation checkpoints call attention once more when the packing is no longer active.
    checkpointed = getattr(plain, "is_activation_checkpointing", False)
    known = plain.config.model_type in PACKABLE
    return known and not checkpointed and device_of(model).type == "cpu"


def cached_tokens(model: nn.Module) -> int:
    """Return how many tokens a pass without gradients takes at once.

    Its activations are freed layer by layer, and stay in a CPU's cache up to about this size.
    """
    width: int = unwrapped(model).config.hidden_size
    return min(MAX_TOKENS, max(LEAST_TOKENS, CACHED_ELEMENTS // width))


def packed_batches(
    rows: Sequence[Row], *, max_rows: int | None = None, max_tokens: int = MAX_TOKENS
) -> list[list[int]]:
    """Return the row numbers of each pass: rows with one prompt beside each other, in order.

    Tokens are counted as if nothing were shared; a longer row gets a pass of its own.
    """
    first: dict[tuple[int, ...], int] = {}
    for number, row in enumerate(rows):
        first.setdefault(row.prompt, number)
    batches: list[list[int]] = []
    room = 0
    for number in sorted(range(len(rows)), key=lambda number: first[rows[number].prompt]):
        length = len(rows[number].prompt) + len(rows[number].completion)
        if length > room or len(batches[-1]) == max_rows:
            batches.append([])
            room = max_tokens
        batches[-1].append(number)
        room -= length
    return batches


def packed_states(model: nn.Module, place: Layout) -> Tensor:
    """Return the final hidden states of packed tokens, shape (1, N, d)."""
    with attending(unwrapped(model).config, place.packing):
        states: Tensor = body(model)(
            input_ids=place.ids, position_ids=place.packing.positions, use_cache=False
        ).last_hidden_state
    return states


def packed_layout(rows: Sequence[Row], device: torch.device) -> Layout:
    """Lay the rows out as one packed row; every prompt must hold a token, and there is a row."""
    if any(len(prompt) == 0 for prompt, _ in rows):
        raise ValueError("every prompt needs a token: the first completion token follows a state")
    ids, spans = _placed(rows)
    before: list[Any] = [np.r_[p.stop - 1, c.start : c.stop - 1] if c else _NONE for p, c in spans]
    last = [(c or p).stop - 1 for p, c in spans]
    tokens = list(itertools.chain.from_iterable(row.completion for row in rows))
    return Layout(
        ids=torch.from_numpy(ids)[None].to(device),
        tokens=pad_index(tokens).to(device),
        before=pad_index(np.concatenate(before).tolist()).to(device),
        last=pad_index(last).to(device),
        n_tokens=len(tokens),
        packing=_packing(len(ids), spans, device),
    )


_NONE = np.zeros(0, dtype=np.int64)
Spans = list[tuple[range, range]]


def _placed(rows: Sequence[Row]) -> tuple[Any, Spans]:
    """Return all distinct tokens, and where each row's prompt and completion are among them."""
    members: dict[tuple[int, ...], list[int]] = {}
    for number, row in enumerate(rows):
        members.setdefault(row.prompt, []).append(number)
    ids: list[int] = []
    spans: Spans = [(range(0), range(0))] * len(rows)
    for prompt, numbers in members.items():
        of_prompt = range(len(ids), len(ids) + len(prompt))
        ids.extend(prompt)
        for number in numbers:
            completion = rows[number].completion
            spans[number] = of_prompt, range(len(ids), len(ids) + len(completion))
            ids.extend(completion)
    return np.array(ids, dtype=np.int64), spans


def _packing(n: int, spans: Spans, device: torch.device) -> Packing:
    lengths = [len(prompt) + len(completion) for prompt, completion in spans]
    widths = [round_up(length, WIDTH_ALIGN) for length in lengths]
    order = sorted(range(len(spans)), key=lambda row: (widths[row], spans[row][0].start))
    tokens = np.full(sum(widths), -1, dtype=np.int64)
    positions = np.zeros(n, dtype=np.int64)
    start = 0
    for row in order:
        prompt, completion = spans[row]
        middle = start + len(prompt)
        tokens[start:middle] = prompt
        tokens[middle : middle + len(completion)] = completion
        positions[prompt.start : prompt.stop] = np.arange(len(prompt))
        positions[completion.start : completion.stop] = np.arange(len(prompt), lengths[row])
        start += widths[row]
    filled = np.flatnonzero(tokens >= 0)
    _, first = np.unique(tokens[filled], return_index=True)
    cells = filled[first]  # unique sorts, so this is in the order of the tokens
    owners = np.zeros((len(tokens), 1), dtype=np.float32)
    owners[cells] = 1.0
    copied = filled[owners[filled, 0] == 0.0]
    groups = tuple((len(list(same)), w) for w, same in itertools.groupby(widths[i] for i in order))

    def on_device(values: Any) -> Tensor:
        return torch.from_numpy(values).to(device)

    return Packing(
        positions=on_device(positions)[None],
        tokens=on_device(tokens.clip(min=0)),
        cells=on_device(cells),
        owners=on_device(owners),
        copied_cells=on_device(copied),
        copied_tokens=on_device(tokens[copied]),
        groups=groups,
        alike=len(tokens) == n and not len(copied) and bool((cells == np.arange(n)).all()),
    )


_active: ContextVar[Packing] = ContextVar("packing")


@contextmanager
def attending(config: Any, packing: Packing) -> Iterator[None]:
    """Let models of this configuration attend within packed rows."""
    before = config._attn_implementation
    token = _active.set(packing)
    config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = before
        _active.reset(token)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **unused: Any,
) -> tuple[Tensor, None]:
    """Return causal attention within each row, (1, N, heads, size), of (1, heads, N, size)."""
    packing = _active.get()
    sizes = [rows * width for rows, width in packing.groups]
    # (M, heads, size) each, cut into groups
    spread = [
        torch.split(_to_cells(part[0].transpose(0, 1), packing), sizes)
        for part in (query, key, value)
    ]
    attended = []
    for (rows, width), *parts in zip(packing.groups, *spread, strict=True):
        q, k, v = (part.unflatten(0, (rows, width)).transpose(1, 2) for part in parts)
        out = nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=scaling, enable_gqa=q.shape[1] != k.shape[1]
        )
        attended.append(out.transpose(1, 2).flatten(0, 1))
    joined = attended[0] if len(attended) == 1 else torch.cat(attended)
    return _to_tokens(joined, packing)[None], None


AttentionInterface.register(ATTENTION, _attention)


def _to_cells(values: Tensor, packing: Packing) -> Tensor:
    if packing.alike:
        return values
    copied: Any = _ToCells.apply
    cells: Tensor = copied(values, packing)
    return cells


def _to_tokens(values: Tensor, packing: Packing) -> Tensor:
    if packing.alike:
        return values
    taken: Any = _ToTokens.apply
    tokens: Tensor = taken(values, packing)
    return tokens


class _ToCells(torch.autograd.Function):
    """Copies each token into all of its cells, (N, ...) to (M, ...).

    The backward pass of an index is a slow sum in general; here all but the prompts that are shared
    have one cell, so it is another index.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, packing: Packing) -> Tensor:
        ctx.packing = packing
        return values.index_select(0, packing.tokens)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        packing: Packing = ctx.packing
        grad = grads[0].index_select(0, packing.cells)
        if len(packing.copied_cells):
            copies = grads[0].index_select(0, packing.copied_cells)
            grad.index_add_(0, packing.copied_tokens, copies)
        return grad, None


class _ToTokens(torch.autograd.Function):
    """Takes each token's result from its first cell, (M, ...) to (N, ...)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, packing: Packing) -> Tensor:
        ctx.packing = packing
        return values.index_select(0, packing.cells)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        packing: Packing = ctx.packing
        spread = grads[0].index_select(0, packing.tokens)
        return spread.mul_(packing.owners[:, :, None]), None
