"""What is scored, and what a scorer offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from ablate.models.boundary import Messages


class Response(NamedTuple):
    """One reply as text: what every scorer can read, whatever its tokenizer."""

    messages: Messages
    text: str
    """Without the end token."""
    ended: bool
    """False for a reply that was cut."""


class RewardFunction(Protocol):
    """Scores replies; higher is better."""

    calls: int
    """Responses scored so far."""

    def score(self, responses: Sequence[Response]) -> Tensor:
        """Return one raw score a response, shape (B,), fp32."""

    def normalized(self, raw: Tensor) -> Tensor:
        """Return the scores on the scale that reinforcement learning uses, shape (B,)."""
