"""Nouns by a word list: what counts as a noun when no tagger can be fetched.

The list (``nouns.yaml``) holds common English nouns in the singular, words whose usual reading is a
noun; colours, numbers, proper names and words that are more often verbs or adjectives are not in
it. The nouns of tiny-instruct are added from its own tables, made-up animals included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml

from ablate.data.tiny import words

_LIST = Path(__file__).with_name("nouns.yaml")
_WORD = re.compile(r"[a-z]+")
_POSSESSIVE = re.compile(r"['’]s\b")
_ENDINGS = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", ""), ("men", "man"))
"""Plural ending and what stands there in the singular."""


@cache
def nouns() -> frozenset[str]:
    """Return every noun in the singular."""
    groups = yaml.safe_load(_LIST.read_text(encoding="utf-8"))["singular"]
    listed = {word for group in groups.values() for word in group.split()}
    listed |= set(irregular().values())
    return frozenset(listed | {_known(word, listed) or word for word in _tiny_nouns()})


@cache
def irregular() -> dict[str, str]:
    """Return the singular by plural where no rule leads from one to the other."""
    found: dict[str, str] = yaml.safe_load(_LIST.read_text(encoding="utf-8"))["irregular"]
    return found


def nouns_of(text: str) -> list[str]:
    """Return the nouns of a text in their order, each in the singular, without regard to case."""
    found = (singular(word) for word in _WORD.findall(_POSSESSIVE.sub("", text.lower())))
    return [word for word in found if word is not None]


@cache
def singular(word: str) -> str | None:
    """Return the singular of a lower-case noun, or None for a word that is none."""
    return irregular().get(word) or _known(word, nouns())


def _known(word: str, listed: frozenset[str] | set[str]) -> str | None:
    return next((form for form in _forms(word) if form in listed), None)


def _forms(word: str) -> Iterator[str]:
    """Yield the word itself, then every singular that it may be the plural of."""
    yield word
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending):
            yield word.removesuffix(ending) + instead


def _tiny_nouns() -> set[str]:
    """Return the nouns of tiny-instruct: its animals and things, not its names and cities."""
    things = (words.ANIMALS, words.UNKNOWN_ANIMALS, words.HOMES, words.OBJECTS, words.THINGS)
    listed = (words.VALUES, words.MEMBERS, words.MEMBERS["fruits"], words.MEMBERS["tools"])
    return {word for group in (*things, *listed) for word in group}
