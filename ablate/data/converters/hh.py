"""Anthropic's HH-RLHF dialogues (Bai et al. 2022, arXiv:2204.05862), made into pairs."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Literal

from ablate.data.reading.columns import Conversation, MalformedRow, drop_reason, text
from ablate.data.reading.files import bad_row, read_rows
from ablate.data.records import Document, Messages, Pair

NAME = "hh-harmless"
Part = Literal["train", "validation", "test"]

_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def turns(dialogue: str) -> Conversation:
    """Return the turns of a dialogue, stripped; two in a row may have the same role.

    A marker counts only after a blank line, so that a reply may quote ``Human:`` within a line.
    """
    before, *parts = _TURN.split(dialogue)
    if before.strip() or not parts:
        raise MalformedRow(r"the dialogue does not begin with '\n\nHuman:' or '\n\nAssistant:'")
    spoken = zip(parts[::2], parts[1::2], strict=True)
    return tuple({"role": _ROLES[role], "content": content.strip()} for role, content in spoken)


def alternating(conversation: Conversation) -> Conversation:
    """Return the conversation with neighbours of one role joined, as chat templates need it."""
    merged: list[dict[str, str]] = []
    for role, group in groupby(conversation, key=lambda message: message["role"]):
        merged.append({"role": role, "content": "\n\n".join(m["content"] for m in group)})
    return tuple(merged)


def part_of(prompt: Messages) -> Part:
    """Return the part of a conversation, by its opening: 15 % test, 5 % validation, else train.

    Conversations with equal openings, up to case and spacing, never fall into different parts.
    """
    opening = next((m["content"] for m in prompt if m["role"] == "user"), "")
    normal = " ".join(opening.split()).casefold()
    bucket = int.from_bytes(hashlib.sha256(normal.encode()).digest()[:8], "big") % 20
    if bucket < 3:
        return "test"
    return "validation" if bucket == 3 else "train"


def read_hh(path: Path, part: Part = "train") -> tuple[list[Pair], Counter[str]]:
    """Return the usable pairs of one part, and how many rows of the file were left out, and why."""
    pairs: list[Pair] = []
    dropped: Counter[str] = Counter()
    for number, row in read_rows(path):
        try:
            chosen, rejected = turns(text(row, "chosen")), turns(text(row, "rejected"))
        except MalformedRow as error:
            raise bad_row(path, number, str(error)) from error
        if reason := _unusable(chosen, rejected):
            dropped[reason] += 1
        elif (found := part_of(chosen[:-1])) != part:
            dropped[f"in_{found}_part"] += 1
        else:
            replies = chosen[-1]["content"], rejected[-1]["content"]
            pairs.append(Pair(f"{NAME}-{number}", alternating(chosen[:-1]), *replies))
    return pairs, dropped


def _unusable(chosen: Conversation, rejected: Conversation) -> str:
    if chosen[-1]["role"] != "assistant" or rejected[-1]["role"] != "assistant":
        return "no_reply"
    prompts = chosen[:-1], rejected[:-1]
    return drop_reason(prompts, (chosen[-1]["content"], rejected[-1]["content"]))


def hh_documents(path: Path, part: Part) -> list[Document]:
    """Return the distinct prompts of a held-out part; there is no correct answer to compare."""
    pairs, _ = read_hh(path, part)
    prompts = {str(pair.prompt): pair for pair in pairs}
    return [Document(pair.id, pair.prompt, "harmless") for pair in prompts.values()]
