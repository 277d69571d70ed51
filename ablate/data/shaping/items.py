"""One view of preferences, demonstrations and prompts, so that a filter is written once."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from hashlib import blake2b
from typing import Any, Literal

from ablate.data.records import (
    Demonstration,
    Dropped,
    Feedback,
    Judged,
    Messages,
    Pair,
    Prompt,
    Ranking,
    RatedReply,
)
from ablate.errors import StageError

Item = Judged | Demonstration | Prompt
"""What a data set yields for a row: by its kind preferences, demonstrations or prompts."""
Kind = Literal["preferences", "demonstrations", "prompts"]
Record = Pair | Ranking | RatedReply | Feedback | Demonstration | Prompt

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
"""`json.dumps` would make one for each row."""
_PARTS: Mapping[str, type[Record]] = {
    "pair": Pair,
    "ranking": Ranking,
    "rated": RatedReply,
    "feedback": Feedback,
    "demonstration": Demonstration,
    "prompt": Prompt,
}
_FIELDS = {
    cls: tuple((f.name, f.default) for f in fields(cls) if f.name not in ("prompt", "messages"))
    for cls in _PARTS.values()
}


def leading(item: Item) -> Record:
    """Return the record that says a row's id, source and prompt; ValueError where it has none."""
    if not isinstance(item, Judged):
        return item
    for record in (item.pair, item.ranking, item.feedback, *item.rated):
        if record is not None:
            return record
    raise ValueError("a Judged without pair, ranking, ratings or feedback says nothing")


def row_number(item: Item) -> int:
    """Return the row's number in its file, which its id ends with; 0 where the id has none."""
    number = leading(item).id.rpartition("-")[2]
    return int(number) if number.isascii() and number.isdigit() else 0


def source_of(item: Item) -> str:
    """Return the data set that a row comes from."""
    return leading(item).source


def prompt_of(item: Item) -> Messages:
    """Return the conversation before the replies."""
    record = leading(item)
    return record.messages if isinstance(record, Prompt) else record.prompt


def replies_of(item: Item) -> tuple[str, ...]:
    """Return the distinct replies of a row, preferred ones first; none of a prompt."""
    if isinstance(item, Prompt):
        return ()
    if isinstance(item, Demonstration):
        return (item.completion,)
    found: list[str] = []
    if item.pair is not None:
        found += (item.pair.chosen, item.pair.rejected)
    if item.ranking is not None:
        found += item.ranking.replies
    found += (rated.reply for rated in item.rated)
    if item.feedback is not None:
        found.append(item.feedback.reply)
    return tuple(dict.fromkeys(found))


def preferred_of(item: Item) -> tuple[str, ...]:
    """Return the replies that training makes likelier.

    Chosen, best ranked, liked, or to imitate; of a row with ratings alone every one.
    """
    if not isinstance(item, Judged):
        return replies_of(item)
    best = [] if item.pair is None else [item.pair.chosen]
    if item.ranking is not None:
        best.append(item.ranking.replies[0])
    if item.feedback is not None and item.feedback.liked:
        best.append(item.feedback.reply)
    if best or item.feedback is not None:
        return tuple(dict.fromkeys(best))
    return tuple(rated.reply for rated in item.rated)


def plain(text: str) -> str:
    """Return a text without its case, its spacing and its choice of Unicode composition."""
    folded = text.lower() if text.isascii() else unicodedata.normalize("NFC", text).casefold()
    return " ".join(folded.split())


def prompt_key(item: Item) -> bytes:
    """Return 16 bytes that are equal for prompts equal up to case and spacing, role by role."""
    return _digest(part for m in prompt_of(item) for part in (m["role"], plain(m["content"])))


def row_key(item: Item) -> bytes:
    """Return 16 bytes that are equal for rows equal up to case and spacing.

    Texts and what is preferred to what count; margins, scores and ratings of equal texts do not.
    """
    said = [prompt_key(item).hex()]
    if isinstance(item, Judged):
        if item.pair is not None:
            said += ("pair", plain(item.pair.chosen), plain(item.pair.rejected))
        if item.ranking is not None:
            said += ("ranking", *map(plain, item.ranking.replies))
        said += (plain(rated.reply) for rated in item.rated)
        if item.feedback is not None:
            said += ("liked" if item.feedback.liked else "disliked", plain(item.feedback.reply))
    else:
        said += map(plain, replies_of(item))
    return _digest(said)


def with_replies(item: Item, change: Callable[[str], str]) -> Item:
    """Return the row with every reply changed, or the same object where none changes."""
    new = {reply: change(reply) for reply in replies_of(item)}
    if isinstance(item, Prompt) or all(before == after for before, after in new.items()):
        return item
    if isinstance(item, Demonstration):
        return replace(item, completion=new[item.completion])
    pair, ranking, feedback = item.pair, item.ranking, item.feedback
    return Judged(
        pair and replace(pair, chosen=new[pair.chosen], rejected=new[pair.rejected]),
        ranking and replace(ranking, replies=tuple(new[reply] for reply in ranking.replies)),
        tuple(replace(rated, reply=new[rated.reply]) for rated in item.rated),
        feedback and replace(feedback, reply=new[feedback.reply]),
    )


def as_demonstration(item: Item) -> Demonstration | Dropped:
    """Return the reply to imitate: chosen, best ranked or liked.

    Ratings alone do not say that a reply is good, so such a row is dropped like a disliked one.
    """
    if isinstance(item, Demonstration):
        return item
    if isinstance(item, Prompt):
        return Dropped(row_number(item), "no_reply")
    if item.pair is None and item.ranking is None and not (item.feedback and item.feedback.liked):
        return Dropped(row_number(item), "only_rated" if item.feedback is None else "disliked")
    said = leading(item)
    return Demonstration(
        prompt_of(item), preferred_of(item)[0], said.category, said.id, said.source
    )


def as_prompt(item: Item) -> Prompt:
    """Return the prompt of a row, with the target where one is known."""
    said = leading(item)
    if isinstance(said, Prompt):
        return said
    world = None if isinstance(said, Demonstration) else said.world
    return Prompt(said.id, said.prompt, said.category, world, source=said.source)


def of_kind(items: Iterable[Item | Dropped], kind: Kind) -> Iterator[Item | Dropped]:
    """Yield a data set's rows as a stage of this kind uses them.

    Preferences serve as demonstrations and prompts, and demonstrations as prompts; what does not
    serve is dropped by name.
    """
    for item in items:
        if isinstance(item, Dropped):
            yield item
        elif kind == "demonstrations":
            yield as_demonstration(item)
        elif kind == "prompts":
            yield as_prompt(item)
        else:
            yield item if isinstance(item, Judged) else Dropped(row_number(item), "no_preference")


def to_json(item: Item) -> str:
    """Return one line of JSON that `from_json` reads back to an equal row.

    A prompt that several records share is written once. Raises StageError for a number that is
    not finite, which JSON has no word for.
    """
    prompts: list[Messages] = []

    def written(record: Record) -> dict[str, Any]:
        prompt = record.messages if isinstance(record, Prompt) else record.prompt
        if prompt not in prompts:
            prompts.append(prompt)
        said = {"at": prompts.index(prompt)}
        for name, default in _FIELDS[type(record)]:
            if (value := getattr(record, name)) != default:
                said[name] = value
        return said

    if isinstance(item, Judged):
        content: dict[str, Any] = {"prompts": prompts}
        for name in ("pair", "ranking", "feedback"):
            if (record := getattr(item, name)) is not None:
                content[name] = written(record)
        if item.rated:
            content["rated"] = [written(rated) for rated in item.rated]
    else:
        name = "prompt" if isinstance(item, Prompt) else "demonstration"
        content = {"prompts": prompts, name: written(item)}
    try:
        return _ENCODER.encode(content)
    except ValueError as error:
        raise StageError(
            f"row {leading(item).id!r}: a score, margin or rating is not finite ({error}); finite "
            "numbers are allowed. Leave out what is not known.",
            kind="bad_data",
        ) from error


def from_json(line: str | bytes) -> Item:
    """Return the row of a line that `to_json` wrote."""
    content = json.loads(line)
    prompts = [tuple(prompt) for prompt in content["prompts"]]

    def read(name: str, said: dict[str, Any]) -> Any:
        prompt = prompts[said.pop("at")]
        if name == "ranking":
            said["replies"] = tuple(said["replies"])
        return _PARTS[name](**{"messages" if name == "prompt" else "prompt": prompt, **said})

    for name in ("prompt", "demonstration"):
        if name in content:
            item: Item = read(name, content[name])
            return item
    single = {n: read(n, content[n]) for n in ("pair", "ranking", "feedback") if n in content}
    return Judged(**single, rated=tuple(read("rated", r) for r in content.get("rated", ())))


def _digest(parts: Iterable[str]) -> bytes:
    # A separator that `plain` leaves in no text keeps ("ab", "c") apart from ("a", "bc").
    return blake2b("\n".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
