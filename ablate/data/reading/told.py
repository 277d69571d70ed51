"""Rows in which nobody chose: demonstrations and prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ablate.data.reading.choices import REPLIES, first_of
from ablate.data.reading.columns import (
    Conversation,
    MalformedRow,
    answer,
    category_of,
    conversation,
    prompt_of,
    text,
    with_system,
)
from ablate.data.reading.limits import Row
from ablate.data.records import Demonstration, Dropped, Prompt, user

MESSAGES = ("messages", "conversations")
ASKED = ("prompt", "instruction", "question", "query")
"""Columns that may be a prompt by themselves."""


def shown(row: Mapping[str, Any], id_: str, source: str) -> Demonstration | str:
    """Return the demonstration of messages that end in a reply, or of a prompt and a reply."""
    name = next((column for column in MESSAGES if row.get(column) is not None), "")
    if not name:
        prompt = prompt_of(row)
        return _demonstration(row, id_, source, (prompt, text(row, _reply_column(row))))
    messages = with_system(row, conversation(row, name))
    if messages[-1]["role"] != "assistant":
        return "no_reply"
    return _demonstration(row, id_, source, (messages[:-1], messages[-1]["content"]))


def asked_with(columns: tuple[str, ...]) -> Callable[[Mapping[str, Any], str, str], Any]:
    """Return the reader of demonstrations whose prompt is in the first of some columns."""

    def read(row: Mapping[str, Any], id_: str, source: str) -> Demonstration | str:
        found = prompt_of(row, columns), text(row, _reply_column(row))
        return _demonstration(row, id_, source, found)

    return read


def _reply_column(row: Mapping[str, Any]) -> str:
    return next((column for column in REPLIES if row.get(column) is not None), REPLIES[0])


def _demonstration(
    row: Mapping[str, Any], id_: str, source: str, told: tuple[Conversation, str]
) -> Demonstration | str:
    prompt, completion = told
    if reason := _no_prompt(prompt):
        return reason
    if not completion.strip():
        return "empty_completion"
    return Demonstration(prompt, completion, category_of(row), id_, source)


def _no_prompt(prompt: Conversation) -> str:
    """Return why a conversation asks for no reply, or an empty string."""
    if not prompt or prompt[-1]["role"] != "user":
        return "no_reply_to_a_user"
    return "" if prompt[-1]["content"].strip() else "empty_prompt"


def instances(rows: Iterable[Row], source: str) -> Iterator[Demonstration | Dropped]:
    """Yield a demonstration for each of a task's ``instances`` of input and output."""
    for number, row in rows:
        cases = row.get("instances")
        if not isinstance(cases, list):
            found = type(cases).__name__
            raise MalformedRow(f"column 'instances' is {found}; a list of objects is needed")
        for place, case in enumerate(cases):
            if not isinstance(case, Mapping):
                found = type(case).__name__
                raise MalformedRow(f"column 'instances'[{place}] is {found}; an object is needed")
            task = {"instruction": row.get("instruction"), "category": row.get("category"), **case}
            id_ = f"{source}-{number}" + (f".{place + 1}" if len(cases) > 1 else "")
            told = prompt_of(task, ("instruction",)), text(task, "output")
            item = _demonstration(task, id_, source, told)
            yield Dropped(number, item) if isinstance(item, str) else item


def asked(row: Mapping[str, Any], id_: str, source: str) -> Prompt | str:
    """Return a prompt: text, messages, or the first of several turns of the user."""
    turns = row.get("turns")
    if turns is not None and not first_of(row, ASKED):
        if not isinstance(turns, list) or not turns:
            found = type(turns).__name__ if not isinstance(turns, list) else "an empty list"
            raise MalformedRow(f"column 'turns' is {found}; a list of texts is needed")
        messages = user(text({"turns[0]": turns[0]}, "turns[0]"))
    else:
        messages = prompt_of(row)
    if reason := _no_prompt(messages):
        return reason
    target = answer(row, "target")
    return Prompt(id_, messages, category_of(row), target=target, source=source)
