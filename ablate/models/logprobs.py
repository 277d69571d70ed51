"""Log-probabilities, scores and values of completions: one forward pass for every algorithm.

Numbers are fp32 whatever the weights are. The head runs only on the positions that count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ablate.models.backbone import device_of, hidden_states, score_head, vocabulary_head
from ablate.models.batching import MAX_TOKENS, Layout, layout, length_buckets, row_lengths
from ablate.models.boundary import Row
from ablate.models.heads import fp32_logits
from ablate.models.packing import (
    cached_tokens,
    packable,
    packed_batches,
    packed_layout,
    packed_states,
)
from ablate.models.ranks import own, pooled
from ablate.models.sharding import even, inside, recording, spread

HEAD_ELEMENTS = 1 << 26
"""Logits computed at once (256 MiB in fp32); more are recomputed in the backward pass."""


class TokenLogprobs(NamedTuple):
    """Per-token numbers of completions; T is the longest completion."""

    logprobs: Tensor  # (B, T) in nats, 0 where there is no token
    mask: Tensor  # (B, T) true where there is a token


class TokenStatistics(NamedTuple):
    """Per-token numbers of completions, with the entropy of the distribution at each token."""

    logprobs: Tensor  # (B, T) in nats, 0 where there is no token
    entropy: Tensor  # (B, T) in nats, 0 where there is no token
    mask: Tensor  # (B, T) true where there is a token


def completion_logprobs(
    model: nn.Module,
    rows: Sequence[Row],
    *,
    temperature: float = 1.0,
    grad: bool,
    micro_batch: int | None = None,
) -> TokenLogprobs:
    """Return the log-probability of every completion token, logits divided by ``temperature``.

    Without ``grad`` nothing is recorded for a backward pass. ``micro_batch`` limits the rows of one
    forward pass and changes nothing but memory and rounding.
    """

    def evaluate(batch: Layout) -> tuple[Tensor, ...]:
        return (_statistics(model, batch, temperature=temperature, entropy=False)[0],)

    (logprobs,) = _per_token(model, rows, evaluate, grad=grad, micro_batch=micro_batch)
    return TokenLogprobs(logprobs, completion_mask(rows, logprobs.device))


def completion_statistics(
    model: nn.Module,
    rows: Sequence[Row],
    *,
    temperature: float = 1.0,
    grad: bool,
    micro_batch: int | None = None,
) -> TokenStatistics:
    """Return what `completion_logprobs` returns and the entropy of each token's distribution."""

    def evaluate(batch: Layout) -> tuple[Tensor, ...]:
        return _statistics(model, batch, temperature=temperature, entropy=True)

    logprobs, entropy = _per_token(model, rows, evaluate, grad=grad, micro_batch=micro_batch)
    return TokenStatistics(logprobs, entropy, completion_mask(rows, logprobs.device))


def completion_scores(
    reward_model: nn.Module,
    rows: Sequence[Row],
    *,
    grad: bool = False,
    micro_batch: int | None = None,
) -> Tensor:
    """Return the scalar at each row's last completion token, shape (B,).

    The position comes from the row's length. Hugging Face's own pooling looks for padding ids and
    takes the token before the end token when both have the same id.
    """
    return completion_outputs(reward_model, rows, grad=grad, micro_batch=micro_batch)[:, 0]


def completion_outputs(
    reward_model: nn.Module,
    rows: Sequence[Row],
    *,
    grad: bool = False,
    micro_batch: int | None = None,
) -> Tensor:
    """Return all outputs of the head at each row's last completion token, shape (B, outputs)."""
    if any(len(completion) == 0 for _, completion in rows):
        raise ValueError("an empty completion has no last token to score")
    device = device_of(spread(reward_model))
    order: list[int] = []
    parts: list[Tensor] = []

    def evaluate(batch: Layout) -> Tensor:
        return _outputs(reward_model, batch, batch.last)

    with recording(reward_model, grad=grad):
        for batch in _batches(reward_model, rows, grad=grad, max_rows=micro_batch):
            place = _place(reward_model, [rows[row] for row in batch], device)
            parts.append(inside(reward_model, evaluate, place)[: len(batch)])
            order.extend(batch)
    if not parts:
        return torch.zeros(0, 1, device=device)
    return _scatter(torch.cat(parts), order, len(rows), grad=grad)


def token_values(
    value_model: nn.Module,
    rows: Sequence[Row],
    *,
    grad: bool = False,
    micro_batch: int | None = None,
) -> Tensor:
    """Return the value of the state before each completion token, shape (B, T), 0 where padded."""

    def evaluate(batch: Layout) -> tuple[Tensor, ...]:
        return (_scalars(value_model, batch, batch.before)[: batch.n_tokens],)

    (values,) = _per_token(value_model, rows, evaluate, grad=grad, micro_batch=micro_batch)
    return values


def logprobs_and_values(
    model: nn.Module, rows: Sequence[Row], *, temperature: float = 1.0, grad: bool
) -> tuple[Tensor, Tensor]:
    """Return what `completion_logprobs` and `token_values` do, (B, T) each, from one pass.

    For a policy with a score head of its own beside the vocabulary's.
    """

    def evaluate(batch: Layout) -> tuple[Tensor, ...]:
        states = _states(model, batch, batch.before)
        (logprobs,) = _statistics_of(model, batch, states, temperature=temperature, entropy=False)
        return logprobs, _head_outputs(model, states)[: batch.n_tokens, 0]

    logprobs, values = _per_token(model, rows, evaluate, grad=grad, micro_batch=None)
    return logprobs, values


def completion_mask(rows: Sequence[Row], device: torch.device | None = None) -> Tensor:
    """Return the mask of shape (B, T): true where a row has a completion token."""
    lengths = torch.tensor([len(completion) for _, completion in rows], device=device)
    width = int(lengths.max()) if len(rows) else 0
    return torch.arange(width, device=device) < lengths.reshape(-1, 1)


def _per_token(
    model: nn.Module,
    rows: Sequence[Row],
    evaluate: Callable[[Layout], tuple[Tensor, ...]],
    *,
    grad: bool,
    micro_batch: int | None,
) -> list[Tensor]:
    """Evaluate rows in a few passes; put the results back in order, (B, T) each."""
    device = device_of(spread(model))
    width = max((len(completion) for _, completion in rows), default=0)
    cells: list[int] = []
    parts: list[tuple[Tensor, ...]] = []
    with recording(model, grad=grad):
        for batch in _batches(model, rows, grad=grad, max_rows=micro_batch):
            place = _place(model, [rows[row] for row in batch], device)
            parts.append(inside(model, evaluate, place))
            for row in batch:
                cells.extend(range(row * width, row * width + len(rows[row][1])))
    # Outside of inference mode, so that a loss may save the result for its backward pass.
    return [
        _scatter(torch.cat(column), cells, len(rows) * width, grad=grad).view(len(rows), width)
        for column in zip(*parts, strict=True)
    ]


def _batches(
    model: nn.Module, rows: Sequence[Row], *, grad: bool, max_rows: int | None
) -> list[list[int]]:
    """Return the row numbers of each forward pass of this rank: all rows where there is one."""
    numbers = range(len(rows))
    mine = list(numbers) if grad else own(numbers)
    chosen = [rows[row] for row in mine]
    if packable(model):
        limit = MAX_TOKENS if grad else cached_tokens(model)
        batches = packed_batches(chosen, max_rows=max_rows, max_tokens=limit)
    else:
        batches = length_buckets(row_lengths(chosen), max_rows=max_rows)
    return even([[mine[i] for i in batch] for batch in batches])


def _place(model: nn.Module, rows: Sequence[Row], device: torch.device) -> Layout:
    return packed_layout(rows, device) if rows and packable(model) else layout(rows, device)


def _states(model: nn.Module, batch: Layout, positions: Tensor) -> Tensor:
    """Return the hidden states at some positions of a layout, (positions, d)."""
    if batch.packing is None:
        states = hidden_states(model, batch.ids)
    else:
        states = packed_states(model, batch)
    return states.flatten(0, 1)[positions]


def _scatter(values: Tensor, cells: Sequence[int], size: int, *, grad: bool) -> Tensor:
    index = torch.tensor(cells, dtype=torch.long, device=values.device)
    empty = torch.zeros(size, *values.shape[1:], dtype=values.dtype, device=values.device)
    filled = empty.index_copy(0, index, values)
    return filled if grad else pooled(filled)


def _scalars(model: nn.Module, batch: Layout, positions: Tensor) -> Tensor:
    return _outputs(model, batch, positions)[:, 0]


def _outputs(model: nn.Module, batch: Layout, positions: Tensor) -> Tensor:
    """Return the score head's outputs at some positions, (N, outputs) in fp32."""
    return _head_outputs(model, _states(model, batch, positions))


def _head_outputs(model: nn.Module, states: Tensor) -> Tensor:
    head = score_head(model)
    # A bf16 scalar has 8 bits: replies whose scores differ by half a percent would tie.
    with torch.autocast(states.device.type, enabled=False):
        scores: Tensor = head(states.to(next(head.parameters()).dtype))
    return scores.float()


def _statistics(
    model: nn.Module, batch: Layout, *, temperature: float, entropy: bool
) -> tuple[Tensor, ...]:
    """Return log-probability (and entropy) of each completion token of one batch, (N,) each."""
    states = _states(model, batch, batch.before)
    return _statistics_of(model, batch, states, temperature=temperature, entropy=entropy)


def _statistics_of(
    model: nn.Module, batch: Layout, states: Tensor, *, temperature: float, entropy: bool
) -> tuple[Tensor, ...]:
    """Return the same from the hidden states before each completion token."""
    head = vocabulary_head(model)
    rows_at_once = max(8, HEAD_ELEMENTS // head.out_features // 8 * 8)
    chunks = []
    for chunk, tokens in zip(
        torch.split(states, rows_at_once), torch.split(batch.tokens, rows_at_once), strict=True
    ):
        if len(states) > rows_at_once and torch.is_grad_enabled():
            chunks.append(
                checkpoint(
                    _head_statistics,
                    head,
                    chunk,
                    tokens,
                    temperature,
                    entropy,
                    use_reentrant=False,
                    preserve_rng_state=False,
                )
            )
        else:
            chunks.append(_head_statistics(head, chunk, tokens, temperature, entropy))
    return tuple(torch.cat(column)[: batch.n_tokens] for column in zip(*chunks, strict=True))


def _head_statistics(
    head: nn.Module, states: Tensor, tokens: Tensor, temperature: float, entropy: bool
) -> tuple[Tensor, ...]:
    logits = fp32_logits(head, states)  # (N, V)
    if temperature != 1.0:
        logits = logits / temperature
    if not entropy:
        return (-F.cross_entropy(logits, tokens, reduction="none"),)
    logprobs = logits.log_softmax(-1)
    chosen = logprobs.gather(1, tokens[:, None])[:, 0]
    return chosen, -(logprobs.exp() * logprobs).sum(-1)
