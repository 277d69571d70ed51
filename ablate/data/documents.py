"""Evaluation documents of every suite whose items this package reads itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ablate.data.converters.hh import NAME as HH_HARMLESS
from ablate.data.converters.hh import hh_documents
from ablate.data.reading.columns import MalformedRow, text
from ablate.data.reading.files import bad_row, read_rows, resolve
from ablate.data.records import Document, user
from ablate.data.tiny.catalogue import WORLD
from ablate.data.tiny.sets import documents
from ablate.errors import StudyError, unknown_choice

Split = Literal["validation", "test"]

_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def load_documents(name: str, *, split: Split, location: str = "") -> list[Document]:
    """Return the documents of a suite; ``location`` is its file, or the folder it lies in."""
    if name == WORLD:
        return list(documents(split))
    if name not in _READERS:
        raise StudyError(unknown_choice("suite", name, [WORLD, *_READERS]))
    file_names, read = _READERS[name]
    if split not in file_names:
        raise StudyError(
            f"suite {name!r}: split {split!r} does not exist; {', '.join(file_names)} is allowed."
        )
    path = resolve(name, location)
    return read(path / file_names[split] if path.is_dir() else path, split)


def splits_of(name: str) -> tuple[str, ...]:
    """Return the splits that a suite's files hold."""
    return tuple(_READERS[name][0])


def read_gsm8k(path: Path) -> list[Document]:
    """Return the word problems (Cobbe et al. 2021, arXiv:2110.14168).

    The target is the number after ``####``, without thousands separators.
    """
    found: list[Document] = []
    for number, row in read_rows(path):
        try:
            question, solution = text(row, "question"), text(row, "answer")
            target = solution.rpartition("####")[2].strip().replace(",", "")
            if "####" not in solution or not _NUMBER.fullmatch(target):
                raise MalformedRow("the answer does not end in '#### <number>'")
        except MalformedRow as error:
            raise bad_row(path, number, str(error)) from error
        found.append(Document(f"gsm8k-{number}", user(question), "reasoning", target))
    return found


def read_xstest(path: Path) -> list[Document]:
    """Return the prompts (Röttger et al. 2024, arXiv:2308.01263).

    The category is the label: ``safe`` ones should be answered, ``unsafe`` ones refused. The kind
    of prompt is part of the id.
    """
    found: list[Document] = []
    for number, row in read_rows(path):
        try:
            prompt, label, kind = text(row, "prompt"), text(row, "label"), text(row, "type")
            if label not in ("safe", "unsafe"):
                raise MalformedRow(f"column 'label' is {label!r}; safe and unsafe are allowed")
        except MalformedRow as error:
            raise bad_row(path, number, str(error)) from error
        found.append(Document(f"xstest-{kind}-{number}", user(prompt), label))
    return found


_Reader = Callable[[Path, Split], list[Document]]
_READERS: dict[str, tuple[dict[str, str], _Reader]] = {
    "gsm8k": (
        {"validation": "gsm8k_train.jsonl.gz", "test": "gsm8k_test.jsonl.gz"},
        lambda path, split: read_gsm8k(path),
    ),
    "xstest": ({"test": "xstest.jsonl.gz"}, lambda path, split: read_xstest(path)),
    HH_HARMLESS: (
        dict.fromkeys(("validation", "test"), "hh_harmless_base_test.jsonl.gz"),
        hh_documents,
    ),
}
"""By suite: the file of each split, and its reader."""
