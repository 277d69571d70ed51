"""Records of data sets as token rows, some hundreds at a time."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from ablate.data.records import Demonstration, Feedback, Messages, Pair
from ablate.models.boundary import Boundary
from ablate.models.token_store import Batch, TableWriter, TokenTable

AT_ONCE = 512
"""Records tokenized together; it changes no id."""
T = TypeVar("T")
Ids = tuple[int, ...]


def pair_batches(boundary: Boundary, pairs: Iterable[Pair]) -> Iterator[Batch]:
    """Yield the rows of pairs, in order."""
    for some in _groups(pairs):
        prompts = _prompts(boundary, [pair.prompt for pair in some])
        chosen = boundary.many_completion_ids([pair.chosen for pair in some])
        rejected = boundary.many_completion_ids([pair.rejected for pair in some])
        rows = list(zip(prompts, chosen, rejected, strict=True))
        yield Batch([pair.id for pair in some], rows, [pair.margin for pair in some])


def demonstration_batches(boundary: Boundary, items: Iterable[Demonstration]) -> Iterator[Batch]:
    """Yield the rows of demonstrations, in order."""
    for some in _groups(items):
        prompts = _prompts(boundary, [item.prompt for item in some])
        completions = boundary.many_completion_ids([item.completion for item in some])
        rows = list(zip(prompts, completions, strict=True))
        yield Batch([item.id for item in some], rows, [None] * len(some))


def feedback_batches(boundary: Boundary, thumbs: Iterable[Feedback]) -> Iterator[Batch]:
    """Yield the rows of thumbs, in order; a margin of 1 is a thumb up, one of -1 is down."""
    for some in _groups(thumbs):
        prompts = _prompts(boundary, [thumb.prompt for thumb in some])
        completions = boundary.many_completion_ids([thumb.reply for thumb in some])
        rows = list(zip(prompts, completions, strict=True))
        yield Batch([thumb.id for thumb in some], rows, [1.0 if t.liked else -1.0 for t in some])


def prompt_ids(boundary: Boundary, prompts: Iterable[Messages]) -> Iterator[Ids]:
    """Yield the ids of prompts, in order."""
    for some in _groups(prompts):
        yield from _prompts(boundary, some)


def prompt_table(boundary: Boundary, prompts: Iterable[Messages]) -> TokenTable:
    """Return the ids of prompts, held in memory as flat arrays."""
    ids = prompt_ids(boundary, prompts)
    batches = (
        Batch([""] * len(some), [[i] for i in some], [None] * len(some)) for some in _groups(ids)
    )
    return _in_memory("prompts", boundary, batches)


def pair_table(boundary: Boundary, pairs: Iterable[Pair]) -> TokenTable:
    """Return the rows of pairs, held in memory as flat arrays."""
    return _in_memory("pairs", boundary, pair_batches(boundary, pairs))


def demonstration_table(boundary: Boundary, items: Iterable[Demonstration]) -> TokenTable:
    """Return the rows of demonstrations, held in memory as flat arrays."""
    return _in_memory("demonstrations", boundary, demonstration_batches(boundary, items))


def feedback_table(boundary: Boundary, thumbs: Iterable[Feedback]) -> TokenTable:
    """Return the rows of thumbs, held in memory as flat arrays."""
    return _in_memory("feedback", boundary, feedback_batches(boundary, thumbs))


def _in_memory(kind: str, boundary: Boundary, batches: Iterable[Batch]) -> TokenTable:
    writer = TableWriter(kind, vocabulary=boundary.vocabulary)
    for batch in batches:
        writer.add(batch)
    return writer.table()


def _prompts(boundary: Boundary, prompts: Sequence[Messages]) -> list[Ids]:
    """Return each prompt's ids; one that several records share is tokenized once."""
    keys = [json.dumps([dict(message) for message in prompt]) for prompt in prompts]
    distinct = dict(zip(keys, prompts, strict=True))
    ids = dict(zip(distinct, boundary.many_prompt_ids([*distinct.values()]), strict=True))
    return [ids[key] for key in keys]


def _groups(records: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(records)
    while some := list(itertools.islice(remaining, AT_ONCE)):
        yield some
