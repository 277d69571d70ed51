"""The items of evaluation suites, made ready to be looked for in training rows."""

from __future__ import annotations

from pathlib import Path

from ablate.data.converters.hh import NAME as HH_HARMLESS
from ablate.data.documents import Split, load_documents, splits_of
from ablate.data.hygiene.contamination import Index
from ablate.data.records import Document
from ablate.spec.registry import registry
from ablate.spec.shaping import ContaminationFilter


class SuiteIndex:
    """Says whether a text holds any item of some suites."""

    def __init__(self, documents: list[Document]) -> None:
        """Index the questions; what the assistant said before them is context and no item."""
        texts = [question(document) for document in documents]
        self._index = Index(texts, [document.id for document in documents])

    def matches(self, text: str) -> bool:
        """Return whether a text holds an item, whole or in large part."""
        return bool(self._index.matches([text]))


def question(document: Document) -> str:
    """Return what the user asks in an evaluation document."""
    return "\n".join(m["content"] for m in document.messages if m["role"] == "user")


def suite_documents(suite: str, location: str, split: Split | None = None) -> list[Document]:
    """Return the documents of a suite of the registry, of one split or of every one it has.

    ``location`` is the folder of its files on this machine.
    """
    splits: tuple[Split, ...] = ("validation", "test") if split is None else (split,)
    entry = registry().suites[suite]
    if entry.world is not None:
        return [document for part in splits for document in load_documents(suite, split=part)]
    names = {HH_HARMLESS if file.format == "hh" else file.format: file for file in entry.files}
    found: list[Document] = []
    for name, file in names.items():
        folder = (Path(location) / file.file).parent
        for part in splits:
            if part in splits_of(name):
                found += load_documents(name, split=part, location=str(folder))
    return found


def suite_index(config: ContaminationFilter) -> SuiteIndex:
    """Return the index of the suites that a filter names."""
    locations = config.location or ("",) * len(config.suites)
    documents: list[Document] = []
    for suite, location in zip(config.suites, locations, strict=True):
        documents += suite_documents(suite, location)
    return SuiteIndex(documents)
