"""Prompt sets to sample replies to."""

from __future__ import annotations

from pathlib import Path

from ablate.data.converters.hh import NAME as HH_HARMLESS
from ablate.data.converters.hh import read_hh
from ablate.data.reading.columns import MalformedRow, answer, conversation
from ablate.data.reading.files import bad_row, read_rows, resolve
from ablate.data.records import Prompt
from ablate.data.sampling import subsample
from ablate.data.tiny.sets import PROMPT_EXAMPLES, PROMPT_WEIGHTS, prompts


def load_prompts(name: str, *, examples: int | None, seed: int, location: str = "") -> list[Prompt]:
    """Return the prompts of a registry name or file, or a seeded subsample of them.

    ``hh-harmless`` gives the distinct prompts of its training pairs.
    """
    if name in PROMPT_WEIGHTS:
        return prompts(name, seed, examples or PROMPT_EXAMPLES)
    path = resolve(name, location)
    if name == HH_HARMLESS:
        distinct = {str(pair.prompt): pair for pair in read_hh(path)[0]}
        found = [Prompt(pair.id, pair.prompt) for pair in distinct.values()]
    else:
        found = read_prompt_file(path)
    return subsample(found, examples, seed=seed, name=name)


def read_prompt_file(path: Path) -> list[Prompt]:
    """Return the rows of a file with a column ``prompt``, a string or messages.

    A column ``target``, a string or a number, holds the answer that a reward function looks for.
    """
    found: list[Prompt] = []
    for number, row in read_rows(path):
        try:
            messages = conversation(row, "prompt")
            target = answer(row, "target")
        except MalformedRow as error:
            raise bad_row(path, number, str(error)) from error
        id_ = f"{path.name.partition('.')[0]}-{number}"
        found.append(Prompt(id_, messages, target=target))
    return found
