"""Scores by a trained reward model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ablate.models.boundary import Row
from ablate.models.loading import load_reward_model
from ablate.models.logprobs import completion_scores
from ablate.rewards.reading import Reader
from ablate.rewards.responses import Response

REWARD = "reward.json"
"""Scale of a reward model's scores, inside its artifact."""


class RewardModel:
    """A reward model artifact that scores text, so that its tokenizer may differ from the policy's.

    The model is frozen; scoring records nothing for a backward pass.
    """

    def __init__(self, artifact: Path, *, device: str = "cpu") -> None:
        """Load the model below ``artifact`` and its scale."""
        loaded = load_reward_model(artifact / "model", device=device)
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        self.model.requires_grad_(False)
        self.boundary = loaded.boundary
        self.reader = Reader(loaded)
        scale = json.loads((artifact / REWARD).read_text(encoding="utf-8"))
        self.gain: float = scale["gain"]
        self.bias: float = scale["bias"]
        self.calls = 0
        """Responses scored so far."""

    def score(self, responses: Sequence[Response]) -> Tensor:
        """Return the raw scores, shape (B,), fp32: the scalar at each last token."""
        self.calls += len(responses)
        return completion_scores(self.model, [self.row(response) for response in responses])

    def normalized(self, raw: Tensor) -> Tensor:
        """Return scores on the scale where samples of the reference have mean 0 and deviation 1.

        Equal to the raw scores where the reward model was trained without normalization.
        """
        return self.gain * raw + self.bias

    def fits(self, response: Response) -> bool:
        """Return whether a response fits into the model's context window."""
        return self.reader.fits(response)

    def row(self, response: Response) -> Row:
        """Return a response's tokens; one that was cut gets no end token, unless it is empty."""
        return self.reader.row(response)
