"""Demonstrations for supervised fine-tuning."""

from __future__ import annotations

from pathlib import Path

from ablate.data.converters.hh import NAME as HH_HARMLESS
from ablate.data.converters.hh import read_hh
from ablate.data.reading.columns import MalformedRow, conversation, reply, text
from ablate.data.reading.files import bad_row, read_rows, resolve
from ablate.data.records import Demonstration
from ablate.data.sampling import subsample
from ablate.data.tiny.sets import SFT_EXAMPLES, demonstrations

TINY = "tiny-demonstrations"


def load_demonstrations(
    name: str, *, examples: int | None, seed: int, location: str = ""
) -> list[Demonstration]:
    """Return the demonstrations of a registry name or file, or a seeded subsample of them.

    ``hh-harmless`` gives the chosen replies of its training pairs.
    """
    if name == TINY:
        return demonstrations(seed, examples or SFT_EXAMPLES)
    path = resolve(name, location)
    if name == HH_HARMLESS:
        found = [Demonstration(pair.prompt, pair.chosen) for pair in read_hh(path)[0]]
    else:
        found = read_demonstration_file(path)
    return subsample(found, examples, seed=seed, name=name)


def read_demonstration_file(path: Path) -> list[Demonstration]:
    """Return the rows of a file with ``prompt`` and ``completion``, or with ``messages``."""
    found: list[Demonstration] = []
    for number, row in read_rows(path):
        try:
            if row.get("messages") is not None:
                prompt, completion = reply(row, "messages")
            else:
                prompt, completion = conversation(row, "prompt"), text(row, "completion")
            if not prompt or not completion.strip():
                raise MalformedRow("the prompt or the completion is empty; both are needed")
        except MalformedRow as error:
            raise bad_row(path, number, str(error)) from error
        found.append(Demonstration(prompt, completion))
    return found
