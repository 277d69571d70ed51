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
