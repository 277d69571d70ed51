"""What the columns of a file mean: layouts by name, recognized from what the columns are called."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from ablate.data.reading.choices import (
    CHOICES,
    RANKS,
    REPLIES,
    REPLY_LISTS,
    SCORES,
    THUMBS,
    better_first,
    chosen_of_two,
    first_of,
    liked,
    ordered_replies,
    thumb,
    two_of,
)
from ablate.data.reading.columns import MalformedRow, listed
from ablate.data.reading.limits import Row
from ablate.data.reading.preference_rows import judged_row
from ablate.data.reading.told import ASKED, MESSAGES, asked, asked_with, instances, shown
from ablate.data.records import Demonstration, Dropped, Judged, Prompt

Item = Judged | Demonstration | Prompt
Converter = Callable[[Iterable[Row], str], Iterator[Item | Dropped]]
"""Makes items of rows and the source's name; streams, and raises MalformedRow at a row's fault."""

TABLE = "table"
HH = "hh"
"""Dialogues in one text each; the converter of that name splits them."""
PUBLISHED: Mapping[str, frozenset[str]] = {
    "finegrained_qa": frozenset({"question", "passages", "prediction 1", "preference"}),
    "helpsteer": frozenset({"prompt", "response", "helpfulness", "correctness"}),
    "prm800k": frozenset({"labeler", "question", "label"}),
    "nectar": frozenset({"prompt", "answers", "good_natured"}),
    "ultrafeedback": frozenset({"instruction", "completions", "models"}),
    "shp": frozenset({"history", "human_ref_A", "human_ref_B", "labels"}),
    "chatbot_arena": frozenset({"conversation_a", "conversation_b", "winner"}),
    "arena_55k": frozenset({"response_a", "response_b", "winner_model_a"}),
}
"""Converter, one of `ablate.data.converters`, by columns that only its published format has."""
_HH_START = "\n\nHuman:"
_UNREAD = {
    "choices",
    "gold",
    "preference",
    "feedback",
    "winner",
    "scores",
    "ranks",
    "target_scores",
}
"""Columns beside a prompt or an answer whose meaning the layouts of plain text would lose."""


def _each(read: Callable[[Mapping[str, Any], str, str], Item | str]) -> Converter:
    """Return the converter that reads every row by itself."""

    def convert(rows: Iterable[Row], source: str) -> Iterator[Item | Dropped]:
        for number, row in rows:
            found = read(row, f"{source}-{number}", source)
            yield Dropped(number, found) if isinstance(found, str) else found

    return convert


def _no_items(rows: Iterable[Row], source: str) -> Iterator[Item | Dropped]:
    known = ", ".join(sorted(LAYOUTS.keys() - {TABLE}))
    for _, row in rows:
        raise MalformedRow(
            f"{listed(row)}, and no layout fits them; the layouts are {known}. Set layout, or "
            "columns: {prompt: ...} to rename them."
        )
    return iter(())


LAYOUTS: Mapping[str, Converter] = {
    "preferences": _each(judged_row),
    "two_replies": _each(chosen_of_two),
    "better_first": _each(better_first),
    "ordered_replies": _each(ordered_replies),
    "feedback": _each(liked),
    "messages": _each(shown),
    "prompt_completion": _each(shown),
    "instructions": _each(asked_with(("instruction",))),
    "question_answer": _each(asked_with(("question", "query"))),
    "instances": instances,
    "prompts": _each(asked),
    TABLE: _no_items,
}
"""Converter by layout.

``preferences``: ``chosen`` and ``rejected`` (text, a message, or conversations) with their prompt,
``ranking`` (replies, best first), or a rated ``completion``. ``two_replies``: ``response_0``,
``response_1`` and a ``label``. ``better_first``: ``response_j`` before ``response_k``.
``ordered_replies``: ``responses`` with ``ranks`` or ``scores``. ``feedback``: a reply and a thumb.
``table``: anything else, such as a benchmark, of which only columns and counts are known.
Everywhere a text in a column ``system`` opens the conversation, unless it has a system message.
"""


def recognize(columns: Collection[str], row: Mapping[str, Any]) -> str:
    """Return the name of the layout that columns have, judged by their names and one row.

    ``table`` stands for what no layout fits; reading items of it says so. Raises MalformedRow where
    there are no columns.
    """
    if not columns:
        known = ", ".join(sorted(LAYOUTS))
        raise MalformedRow(f"the row has no columns; the layouts are {known}")
    names = set(columns)
    published = (name for name, known in PUBLISHED.items() if known <= names)
    return next(published, "") or _chosen(columns, row) or _told(columns) or TABLE


def _chosen(columns: Collection[str], row: Mapping[str, Any]) -> str:
    """Return the layout of rows in which somebody chose, or an empty string."""
    if first_of(columns, REPLY_LISTS) and first_of(columns, (*RANKS, *SCORES)):
        return "ordered_replies"
    if "chosen" in columns and "rejected" in columns:
        begun = isinstance(row.get("chosen"), str) and row["chosen"].startswith(_HH_START)
        return HH if begun and not first_of(columns, ASKED) else "preferences"
    if "ranking" in columns or ("completion" in columns and "attributes" in columns):
        return "preferences"
    if "response_j" in columns and "response_k" in columns:
        return "better_first"
    if two_of(columns) and first_of(columns, CHOICES):
        return "two_replies"
    label = first_of(columns, THUMBS)
    replied = first_of(columns, MESSAGES) or (
        first_of(columns, ASKED) and first_of(columns, REPLIES)
    )
    if label and replied and (row.get(label) is None or thumb(row[label]) is not None):
        return "feedback"
    return ""


def _told(columns: Collection[str]) -> str:
    """Return the layout of rows in which nobody chose, or an empty string."""
    if first_of(columns, MESSAGES):
        return "messages"
    if "instances" in columns and "instruction" in columns:
        return "instances"
    if _UNREAD & set(columns):
        return ""
    if first_of(columns, REPLIES):
        if "prompt" in columns:
            return "prompt_completion"
        if "instruction" in columns:
            return "instructions"
        if first_of(columns, ("question", "query")):
            return "question_answer"
    return "prompts" if first_of(columns, (*ASKED, "turns")) else ""
