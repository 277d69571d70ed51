"""Demonstrations and prompts: Tulu 2, UltraChat, GSM8K, Dolly, Tulu 2.5."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ablate.data.answers import strict_answer
from ablate.data.converters.common import (
    Columns,
    Context,
    label,
    row_by_row,
    stripped,
)
from ablate.data.reading.columns import MalformedRow, conversation, text
from ablate.data.reading.limits import Row
from ablate.data.records import Demonstration, Dropped, Messages, Prompt, user
from ablate.data.shaping.items import Item

_CALCULATOR = re.compile(r"<<[^<>]*>>")
_TEMPLATE = re.compile(
    r"Below is an instruction that describes a task.*?\n\n"
    r"### Instruction:\n(?P<said>.*?)(?:\n\n### Input:\n(?P<about>.*?))?\n\n### Response:\s*",
    re.DOTALL,
)
"""The template of Stanford Alpaca, around an instruction and perhaps its input."""
_PROMPTS = ("instruction", "history_messages", "messages", "conversation", "chosen", "prompt")
"""Where the published reader of prompts looks, in its order (EasyLM, data.py), and ``prompt``."""


def demonstration(context: Context, completion: str) -> Demonstration | str:
    """Return a reply to imitate, stripped, or the reason why there is nothing to learn."""
    prompt, reply = stripped(context.prompt), completion.strip()
    if not reply:
        return "empty_reply"
    if reason := _unanswerable(prompt):
        return reason
    return Demonstration(prompt, reply, context.category, context.id, context.source)


def _unanswerable(prompt: Messages) -> str:
    if not prompt or prompt[-1]["role"] != "user":
        return "no_reply_to_a_user"
    if not prompt[-1]["content"]:
        return "empty_prompt"
    return "" if all(message["content"] for message in prompt) else "empty_turn"


def _last_turn(row: Columns, id_: str, source: str) -> Demonstration | str:
    """Return the last reply of a conversation; the earlier ones are context and not learned."""
    *before, last = conversation(row, "messages")
    if last["role"] != "assistant":
        return "no_reply"
    context = Context(id_, source, tuple(before), label(row, "dataset"))
    return demonstration(context, last["content"])


def _every_turn(rows: Iterable[Row], source: str) -> Iterator[Item | Dropped]:
    """Yield each reply of a conversation with what came before it.

    Every reply is learned, as in the training of Tulu 2, though each in a row of its own: the id of
    the second message of row 7 is ``NAME-m2-7``.
    """
    for number, row in rows:
        messages = conversation(row, "messages")
        replies = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
        if not replies:
            yield Dropped(number, "no_reply")
        for at in replies:
            id_ = f"{source}-m{at + 1}-{number}"
            context = Context(id_, source, messages[:at], label(row, "dataset"))
            item = demonstration(context, messages[at]["content"])
            yield Dropped(number, item) if isinstance(item, str) else item


def _gsm8k(row: Columns, id_: str, source: str) -> Demonstration | str:
    """Return a word problem and its solution, without the marks ``<<...>>`` for a calculator."""
    context = Context(id_, source, user(text(row, "question")))
    return demonstration(context, _CALCULATOR.sub("", text(row, "answer")))


def _gsm8k_prompt(row: Columns, id_: str, source: str) -> Prompt | str:
    """Return a word problem, with the number after ``####`` as target where there is one."""
    messages = stripped(user(text(row, "question")))
    answer = strict_answer(text(row, "answer"))
    target = None if answer is None else f"{answer:f}"
    return _unanswerable(messages) or Prompt(id_, messages, target=target, source=source)


def _alpaca_template(row: Columns, id_: str, source: str) -> Demonstration | str:
    """Return a demonstration whose prompt stands inside of Alpaca's template, which is taken off.

    A model's own chat template would otherwise surround another one.
    """
    found = _TEMPLATE.fullmatch(text(row, "prompt"))
    if found is None:
        raise MalformedRow("column 'prompt' is not written in Alpaca's template")
    said, about = found["said"], (found["about"] or "").strip()
    context = Context(id_, source, user(f"{said}\n\n{about}" if about else said))
    return demonstration(context, text(row, "response"))


def _tulu_prompt(row: Columns, id_: str, source: str) -> Prompt | str:
    """Return what a row asks; a reply at the end of its conversation is left out."""
    column = next((name for name in _PROMPTS if row.get(name) is not None), "prompt")
    messages = stripped(conversation(row, column))
    if messages[-1]["role"] == "assistant":
        messages = messages[:-1]
    return _unanswerable(messages) or Prompt(id_, messages, label(row, "source"), source=source)


CONVERTERS = {
    "conversations": row_by_row(_last_turn),
    "conversations_every_turn": _every_turn,
    "gsm8k": row_by_row(_gsm8k),
    "gsm8k_prompts": row_by_row(_gsm8k_prompt),
    "alpaca_template": row_by_row(_alpaca_template),
    "tulu_prompts": row_by_row(_tulu_prompt),
}
"""By layout."""
