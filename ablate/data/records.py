"""The records that data sets are made of, whatever they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ROLES = frozenset({"system", "user", "assistant"})
"""Who may speak in a conversation."""

Messages = Sequence[Mapping[str, str]]
"""A conversation: mappings with ``role`` and ``content``, oldest first."""


def user(text: str) -> tuple[dict[str, str], ...]:
    """Return the conversation that is one message of the user."""
    return ({"role": "user", "content": text},)


@dataclass(frozen=True, slots=True)
class Pair:
    """A preference: one prompt and two replies of the assistant."""

    id: str
    prompt: Messages
    chosen: str
    rejected: str
    category: str | None = None
    world: str | None = None
    """Name of the generated world whose gold reward applies; None for real data."""
    margin: float | None = None
    """How much better the labeller found the chosen reply, in the labeller's unit; None: unsaid."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """One prompt and several replies of the assistant, from best to worst, without ties."""

    id: str
    prompt: Messages
    replies: tuple[str, ...]
    """Two at least."""
    category: str | None = None
    world: str | None = None
    """As in `Pair`."""


@dataclass(frozen=True, slots=True)
class RatedReply:
    """One reply of the assistant and how a labeller rated it."""

    id: str
    prompt: Messages
    reply: str
    attributes: Mapping[str, float]
    """Rating by attribute, higher is more of it; what was not rated is absent."""
    category: str | None = None
    world: str | None = None
    """As in `Pair`."""


@dataclass(frozen=True, slots=True)
class Judged:
    """All that one row of a preference data set says about the replies to one prompt."""

    pair: Pair | None = None
    ranking: Ranking | None = None
    rated: tuple[RatedReply, ...] = ()

    @property
    def labels(self) -> int:
        """Return the preferences it took: K - 1 for K ranked replies, else 1 a pair, else ratings.

        K - 1 choices (the best of all, the best of the rest, ...) make a ranking, and a pair from a
        ranking comes with it.
        """
        if self.ranking is not None:
            return len(self.ranking.replies) - 1
        return 1 if self.pair is not None else len(self.rated)


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A prompt and the reply to imitate."""

    prompt: Messages
    completion: str
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt to sample replies to."""

    id: str
    messages: Messages
    category: str | None = None
    world: str | None = None
    """As in `Pair`."""
    target: str | None = None
    """The answer that a reward function looks for; None where none is known."""


@dataclass(frozen=True, slots=True)
class Document:
    """One item of an evaluation task."""

    id: str
    messages: Messages
    category: str
    target: str | None = None
    """A correct reply, or the answer that a scorer looks for; None where no such thing exists."""
    world: str | None = None
    """As in `Pair`."""
