"""Words of texts: what separates them, and which spellings are the same word."""

from __future__ import annotations

import numpy as np
import pytest

from ablate.data.hygiene import words
from ablate.data.hygiene.words import prefix_sums, runs, words_of


def same(left: str, right: str) -> bool:
    found = words_of([left, right])
    first, second = np.split(found.hashes, found.starts[1:-1])
    return bool(len(first)) and first.tolist() == second.tolist()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What's the CAPITAL of France?", "what s the capital\n\n of “France”"),
        ("naïve café", "NAI\u0308VE  CAFE\u0301"),
        ("Straße", "STRASSE"),
        ("４２ ｆｕｌｌ ﬁne", "42 full fine"),
        ("so\u00adft zero\u200bwidth", "soft zerowidth"),
        ("北京大学", "北 京 大 学。"),
        ("ガ", "か゛".replace("か゛", "カ\u3099")),
        ("İstanbul", "i\u0307stanbul"),
        ("a\ufe0f b", "A B"),
    ],
)
def test_spellings_of_the_same_words_are_the_same(one: str, other: str) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("ab c", "a bc"), ("ab", "ba"), ("1.5", "15"), ("é", "e"), ("a", "aa"), ("नि", "नी")],
)
def test_different_words_are_different(one: str, other: str) -> None:
    assert not same(one, other)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("... — !? 😀", 0),
        ("don't stop", 3),  # don, t, stop
        ("3 + 4 = 7", 3),
        ("snake_case", 2),
        ("東京タワー", 5),  # every character of a script without spaces
        ("ไทย", 3),
        ("한국어 문장", 2),  # Korean has spaces
        ("हिन्दी भाषा", 2),  # marks belong to their words
        ("x東y", 3),
        ("\ud800 lone", 1),  # half a surrogate pair separates
    ],
)
def test_words_are_counted_by_script(text: str, count: int) -> None:
    assert words_of([text]).counts.tolist() == [count]


def test_texts_keep_their_words_apart() -> None:
    found = words_of(["one two", "", "?", "three"])

    assert found.starts.tolist() == [0, 2, 2, 2, 3]
    assert found.hashes.tolist() == words_of(["one two three"]).hashes.tolist()


def test_a_text_longer_than_a_piece_has_the_words_of_its_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long = " ".join(f"word{n}" for n in range(200))
    whole = words_of(["before", long, "after é"])
    monkeypatch.setattr(words, "PIECE_CHARACTERS", 50)

    pieces = words_of(["before", long, "after é"])

    assert pieces.starts.tolist() == whole.starts.tolist() == [0, 1, 201, 203]
    assert pieces.hashes.tolist() == whole.hashes.tolist()


def test_a_blankless_text_longer_than_a_piece_still_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "PIECE_CHARACTERS", 10)

    assert words_of(["x" * 35]).counts.tolist() == [4]  # pieces of 10, 10, 10 and 5


def test_equal_runs_of_words_have_equal_hashes_wherever_they_are() -> None:
    found = words_of(["a b c d a b c e"])
    prefix = prefix_sums(found.hashes)
    starts = np.array([0, 4, 1])

    first, again, other = runs(prefix, starts, starts + 3).tolist()  # a b c, a b c, b c d

    assert first == again != other


def test_a_hundred_thousand_words_have_as_many_hashes() -> None:
    found = words_of([" ".join(f"{n:x}" for n in range(100_000))])

    assert len(set(found.hashes.tolist())) == 100_000
