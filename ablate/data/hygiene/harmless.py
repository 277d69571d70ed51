"""Untrusted text made safe to show: in a terminal, in Markdown, and never more than fits."""

from __future__ import annotations

import unicodedata

_TOO_MUCH = 4
"""Characters looked at for each one shown; a text of blanks does not make us read all of it."""
_MARKDOWN = str.maketrans(
    {character: f"\\{character}" for character in "\\`*_[]<>|~#$"} | {"&": "&amp;"}
)


def harmless(text: str, limit: int, *, characters: int | None = None) -> str:
    """Return the text on one line, cut to about ``limit`` characters with a note of its length.

    Runs of blanks and line breaks are one blank. What moves a terminal's cursor, changes its
    colours or turns the direction of text (controls, escapes, bidirectional overrides, private
    characters, half surrogates) is written as its code point, and of the marks on one character
    all after the fourth are left out. ``characters`` is the length of the whole, where the text is
    only its beginning.
    """
    head, whole = text[: limit * _TOO_MUCH], characters or len(text)
    shown: list[str] = []
    size, marks = 0, 0
    for character in " ".join(head.split()):
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks > 4:
            continue
        piece = _visible(character)
        if size + len(piece) > limit:
            break
        shown.append(piece)
        size += len(piece)
    else:
        if len(head) == whole:
            return "".join(shown)
    return f"{''.join(shown)} ... ({whole:,} characters)"


def _visible(character: str) -> str:
    # Cc controls, Cf format (bidirectional overrides among them), Cs, Co, Cn.
    if unicodedata.category(character)[0] == "C":
        return f"<U+{ord(character):04X}>"
    return character


def markdown(text: str, limit: int, *, characters: int | None = None) -> str:
    """Return the text as `harmless` does, with what Markdown and HTML would read as their own."""
    return harmless(text, limit, characters=characters).translate(_MARKDOWN)
