"""Anthropic's HH-RLHF dialogues (Bai et al. 2022, arXiv:2204.05862), made into pairs."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby, takewhile
from pathlib import Path
from typing import Literal

from ablate.data.converters.common import Columns, Context, Converter, judged, row_by_row
from ablate.data.reading.columns import Conversation, MalformedRow, drop_reason, text
from ablate.data.reading.conversion import converted
from ablate.data.reading.files import Row, read_rows
from ablate.data.records import Document, Dropped, Judged, Messages, Pair
from ablate.data.shaping.items import Item, prompt_of, row_number

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


def convert_hh(rows: Iterable[Row], source: str) -> Iterator[Judged | Dropped]:
    """Yield the pair of every row whose two dialogues differ in the last reply alone."""
    for number, row in rows:
        chosen, rejected = turns(text(row, "chosen")), turns(text(row, "rejected"))
        if reason := _unusable(chosen, rejected):
            yield Dropped(number, reason)
        else:
            replies = chosen[-1]["content"], rejected[-1]["content"]
            prompt = alternating(chosen[:-1])
            yield Judged(Pair(f"{source}-{number}", prompt, *replies, source=source))


def of_part(items: Iterable[Item | Dropped], part: str) -> Iterator[Item | Dropped]:
    """Yield the rows of one part; those of the others are dropped as ``in_test_part`` and so on."""
    for item in items:
        if isinstance(item, Dropped):
            yield item
            continue
        found = part_of(prompt_of(item))
        yield item if found == part else Dropped(row_number(item), f"in_{found}_part")


def read_hh(path: Path, part: Part = "train") -> tuple[list[Pair], Counter[str]]:
    """Return the usable pairs of one part, and how many rows of the file were left out, and why."""
    pairs: list[Pair] = []
    dropped: Counter[str] = Counter()
    for item in of_part(converted(read_rows(path), convert_hh, NAME, where=path), part):
        if isinstance(item, Dropped):
            dropped[item.reason] += 1
        elif isinstance(item, Judged) and item.pair is not None:
            pairs.append(item.pair)
    return pairs, dropped


def _unusable(chosen: Conversation, rejected: Conversation) -> str:
    if chosen[-1]["role"] != "assistant" or rejected[-1]["role"] != "assistant":
        return "no_reply"
    prompts = chosen[:-1], rejected[:-1]
    return drop_reason(prompts, (chosen[-1]["content"], rejected[-1]["content"]))


def _hh_first_difference(row: Columns, id_: str, source: str) -> Judged | str:
    """Return the replies of the first turn in which two dialogues differ; what follows is ignored.

    The published conversion (EasyLM, conversion_scripts/convert_preference_data.py). We depart from
    it in two places: it splits at ``Human:`` and ``Assistant:`` wherever they stand, also inside of
    a reply, and it leaves empty turns out where we drop the row.
    """
    chosen, rejected = turns(text(row, "chosen")), turns(text(row, "rejected"))
    if chosen == rejected:
        return "identical_replies"
    same = sum(
        1 for _ in takewhile(lambda two: two[0] == two[1], zip(chosen, rejected, strict=False))
    )
    if same == min(len(chosen), len(rejected)):
        return "one_ends_before_they_differ"
    replies = chosen[same], rejected[same]
    if any(turn["role"] != "assistant" for turn in replies):
        return "no_reply"
    prompt = alternating(chosen[:same])
    return judged(Context(id_, source, prompt), (replies[0]["content"], replies[1]["content"]))


CONVERTERS: dict[str, Converter] = {
    "hh": convert_hh,
    "hh_first_difference": row_by_row(_hh_first_difference),
}
"""By layout."""


def hh_documents(path: Path, part: Part) -> list[Document]:
    """Return the distinct prompts of a held-out part; there is no correct answer to compare."""
    pairs, _ = read_hh(path, part)
    prompts = {str(pair.prompt): pair for pair in pairs}
    return [Document(pair.id, pair.prompt, "harmless") for pair in prompts.values()]
