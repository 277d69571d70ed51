"""How a scorer that is a language model reads a response: as text, by its own tokenizer."""

from __future__ import annotations

from functools import lru_cache

from ablate.models.boundary import Row
from ablate.models.loading import LoadedModel
from ablate.rewards.responses import Response


class Reader:
    """Turns responses into a model's own tokens; prompts are tokenized once."""

    def __init__(self, loaded: LoadedModel) -> None:
        """Take the tokenizer and the context window of a model."""
        self.boundary = loaded.boundary
        self.window = int(getattr(loaded.model.config, "max_position_embeddings", 1 << 30))
        """Tokens of prompt and reply that the model can read."""
        self._prompt_ids = lru_cache(maxsize=65_536)(self._tokenized)

    def row(self, response: Response) -> Row:
        """Return a response's tokens; one that was cut gets no end token, unless it is empty."""
        ids = self.boundary.completion_ids(response.text)
        if not response.ended and len(ids) > 1:
            ids = ids[:-1]
        return Row(self._prompt_ids(response.conversation), ids)

    def fits(self, response: Response) -> bool:
        """Return whether prompt and reply fit into the model's context window."""
        return sum(map(len, self.row(response))) <= self.window

    def _tokenized(self, messages: tuple[tuple[str, str], ...]) -> tuple[int, ...]:
        return self.boundary.prompt_ids([{"role": r, "content": c} for r, c in messages])
