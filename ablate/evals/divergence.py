"""How far a policy has moved from its reference, on the policy's own samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ablate.algorithms.kl import kl_per_token
from ablate.evals.adapter import SharedModel
from ablate.evals.tasks import Scored
from ablate.evals.tree import mean
from ablate.models.boundary import Row


@dataclass(frozen=True)
class Divergence:
    """Estimates of KL(policy || reference); the names are those of the metrics."""

    kl_per_sequence_nats: float
    """Mean over sequences of the summed log-ratio (k1)."""
    kl_per_token_nats: float
    """Mean over all tokens of the log-ratio (k1)."""
    kl_per_sequence_nats_k3: float
    """Mean over sequences of k3, summed over tokens; unbiased like k1, and never negative."""
    kl_per_token_nats_k3: float
    """Mean over all tokens of k3."""


def add_divergence(
    outputs: Sequence[Scored], reference: SharedModel, *, temperature: float
) -> Divergence:
    """Set ``kl_nats`` of every sampled output and return the estimates over all of them.

    Policy and reference are both taken at the sampling temperature: samples of a tempered policy
    say something about the tempered policy. NaN where there is no output.
    """
    generations = [out.generation for out in outputs if out.generation is not None]
    rows = [Row(generation.prompt, generation.tokens) for generation in generations]
    references = reference.token_logprobs(rows, temperature=temperature)
    k1s: list[float] = []
    k3s: list[float] = []
    for out, generation, expected in zip(outputs, generations, references, strict=True):
        logprobs = generation.logprobs.to(expected)
        out.kl_nats = float(kl_per_token(logprobs, expected, estimator="k1").double().sum())
        k1s.append(out.kl_nats)
        k3s.append(float(kl_per_token(logprobs, expected, estimator="k3").double().sum()))
    tokens = mean(len(generation.tokens) for generation in generations)
    return Divergence(mean(k1s), mean(k1s) / tokens, mean(k3s), mean(k3s) / tokens)
