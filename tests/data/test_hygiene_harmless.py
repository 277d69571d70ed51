"""What may be shown of untrusted text."""

from __future__ import annotations

import pytest

from ablate.data.hygiene.harmless import harmless, markdown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\n\n lines\there\u2028now", "two lines here now"),
        ("\x1b[2Jgone", "<U+001B>[2Jgone"),
        ("a\u202eb\u2066c", "a<U+202E>b<U+2066>c"),
        ("bell\x07 and \x9b31m", "bell<U+0007> and <U+009B>31m"),
        ("half \ud800", "half <U+D800>"),
        ("e" + "\u0301" * 9, "e" + "\u0301" * 4),
        ("naïve 東京 😀", "naïve 東京 😀"),
    ],
)
def test_what_moves_a_terminal_is_written_out(text: str, shown: str) -> None:
    assert harmless(text, 100) == shown


def test_long_text_is_cut_with_a_note() -> None:
    assert harmless("x" * 1_000_000, 5) == "xxxxx ... (1,000,000 characters)"
    assert harmless("exact", 5) == "exact"


def test_a_text_of_blanks_is_not_read_to_its_end() -> None:
    assert harmless(" " * 1_000_000 + "x", 5) == " ... (1,000,001 characters)"


def test_a_code_point_is_not_cut_in_half() -> None:
    assert harmless("ab\x1bcd", 5) == "ab ... (5 characters)"


def test_markdown_has_no_markup_left() -> None:
    assert markdown("<b>|*_`[x](y)&$", 50) == "\\<b\\>\\|\\*\\_\\`\\[x\\](y)&amp;\\$"
