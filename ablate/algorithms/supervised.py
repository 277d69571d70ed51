"""The loss of supervised fine-tuning."""

from __future__ import annotations

from torch import Tensor


def negative_log_likelihood(logprobs: Tensor, mask: Tensor, *, total_tokens: float) -> Tensor:
    """Return this micro-batch's share of the mean NLL of a completion token, a scalar in nats.

    ``logprobs`` and ``mask`` have shape (B, T). ``total_tokens`` counts the completion tokens of
    the whole optimizer step, so the shares of its micro-batches add up to one token mean however
    the batch was split; a mean of micro-batch means would weigh tokens of short ones more.
    """
    return -(logprobs * mask).sum() / total_tokens
