"""Capitals for texts that were written without any."""

from __future__ import annotations

import re

_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]*`)", re.DOTALL)
"""Fenced or inline: its case means something."""
_WORD = re.compile(r"\S+")
_ENDS_SENTENCE = re.compile(r"(?<!\.)\.[\"'\u201d\u2019)\]*_]*\Z|[!?][)\]*_]*\Z")
"""Not an ellipsis, nor a question in quotation marks: the sentence often goes on after them."""
_MARK = re.compile(r"[-*\u2022#>]+|\(?\d{1,3}[.)]")
"""A list's bullet or number, a heading's mark: the word after it starts a sentence."""
_ABBREVIATIONS = frozenset(
    "e.g. i.e. eg. ie. etc. vs. cf. ca. al. approx. mr. mrs. ms. dr. prof. st. no. fig. eq. sec. "
    "p. pp. vol. inc. ltd. co. dept. jan. feb. mar. apr. jun. jul. aug. sep. sept. oct. nov. dec. "
    "a.m. p.m. a.k.a. z.b. d.h. bzw. usw. p.ex.".split()
)
_NOT_PROSE = re.compile(r"[@_/\\=<>{}#$|~^]|\w\.\w|\w\(")
"""In a word: an address, a path, a name in a program, markup."""
_PRONOUN = re.compile(
    r"(?<![\w.'\u2019/-])i(?=['\u2019](?:m|ve|d|ll)\b|[,;!?]?(?:\s+[a-z]|\s*\Z))"
    r"|(?<=[a-z] )i(?=\.(?:\s|\Z))"
)
_LOOP = re.compile(r"\bfor i in\b")
_ENGLISH = re.compile(
    r"\b(?:the|and|you|that|have|with|this|are|was|what|don['\u2019]t|i['\u2019]m)\b"
)
"""Words that languages with another word ``i`` (Polish, Italian, Croatian) do not have."""


def truecased(text: str) -> str:
    """Return a text in lower case with capitals at sentence starts and for the pronoun ``i``.

    A text with any capital, or in a script without case, is returned as it is. Sentences start at
    the text's beginning, after ``.``, ``!`` and ``?`` with a space (not after a common
    abbreviation), after an empty line and after a list's mark. Code between backquotes and words
    that look like addresses or names in programs keep their case. Names stay small: telling them
    takes a model of the language, as German nouns do.

    Zephyr's authors (arXiv:2310.16944) also mended single sentences of texts with capitals; there
    an abbreviation's point is easily taken for a full stop, so we leave such texts alone.
    """
    if _has_capital(text) or not any(letter.islower() for letter in text):
        return text
    english = _ENGLISH.search(text) is not None and _LOOP.search(text) is None
    pieces = _CODE.split(text)
    fresh = True
    for place, piece in enumerate(pieces):
        if place % 2:
            fresh = piece.startswith("```")
            continue
        pieces[place], fresh = _sentences(piece, fresh, first=place == 0)
        if english:
            pieces[place] = _PRONOUN.sub("I", pieces[place])
    return "".join(pieces)


def _has_capital(text: str) -> bool:
    # The first half settles most texts at the speed of C; some capitals, such as mathematical
    # ones, have no small letter.
    return text.lower() != text or any(letter.isupper() for letter in text)


def _sentences(piece: str, fresh: bool, *, first: bool) -> tuple[str, bool]:
    """Return a piece of prose with capitals, and whether what follows starts a sentence."""
    result: list[str] = []
    end = 0
    for word in _WORD.finditer(piece):
        gap, said = piece[end : word.start()], word.group()
        fresh = fresh or gap.count("\n") > 1
        starts_line = "\n" in gap or (first and end == 0)
        if starts_line and _MARK.fullmatch(said):
            fresh = True
        else:
            said, fresh = (_capitalized(said) if fresh else said), _ends_sentence(said)
        result += (gap, said)
        end = word.end()
    return "".join(result) + piece[end:], fresh


def _ends_sentence(word: str) -> bool:
    return (
        bool(_ENDS_SENTENCE.search(word)) and word.strip("\"'(\u201c\u2018") not in _ABBREVIATIONS
    )


def _capitalized(word: str) -> str:
    """Return the word with its first letter in capitals where it is a word of prose."""
    place = next((n for n, letter in enumerate(word) if letter.isalnum()), None)
    if place is None or not word[place].islower() or _NOT_PROSE.search(word):
        return word
    # title() and not upper(): Georgian has capitals for whole words only, and title() knows it.
    return word[:place] + word[place].title() + word[place + 1 :]
