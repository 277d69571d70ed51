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
    source: str = ""
    """The data set that the row comes from; empty in generated worlds, where the id says it."""
    chosen_score: float | None = None
    """What the source's own labels give the chosen reply, higher is better; None: unsaid."""
    rejected_score: float | None = None
    """The same for the rejected reply. A well-made set never has it above the chosen one's."""


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
    source: str = ""
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
    source: str = ""
    """As in `Pair`."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """One reply of the assistant and whether it was liked: a thumb up or down, unpaired."""

    id: str
    prompt: Messages
    reply: str
    liked: bool
    category: str | None = None
    world: str | None = None
    """As in `Pair`."""
    source: str = ""
    """As in `Pair`."""


@dataclass(frozen=True, slots=True)
class Judged:
    """All that one row of a preference data set says about the replies to one prompt."""

    pair: Pair | None = None
    ranking: Ranking | None = None
    rated: tuple[RatedReply, ...] = ()
    feedback: Feedback | None = None

    @property
    def labels(self) -> int:
        """Return the preferences it took: K - 1 for K ranked replies, else 1 a pair or thumb.

        K - 1 choices (the best of all, the best of the rest, ...) make a ranking, and a pair from a
        ranking comes with it. Ratings alone count one each.
        """
        if self.ranking is not None:
            return len(self.ranking.replies) - 1
        if self.pair is not None or self.feedback is not None:
            return 1
        return len(self.rated)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that teaches nothing, and why; it is counted and named, never lost."""

    row: int
    """Number in its file, from 1; of a row made from several, the first one's."""
    reason: str
    """A word for counting, such as ``empty_chosen``."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A prompt and the reply to imitate."""

    prompt: Messages
    completion: str
    category: str | None = None
    id: str = ""
    source: str = ""
    """As in `Pair`."""


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
    source: str = ""
    """As in `Pair`."""


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
