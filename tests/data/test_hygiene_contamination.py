"""Evaluation items in training texts: every planted copy is found, and nothing else."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence

import pytest

from ablate.data.hygiene import entries
from ablate.data.hygiene.contamination import Index, Match

WORDS = [a + b + c for a in "bdfgklmn" for b in ("a", "é", "ou") for c in ("st", "nd", "rg", "x")]
LETTERS = [chr(code) for code in range(0x4E00, 0x4E00 + 300)]


def index(texts: Sequence[str], **rule: object) -> Index:
    return Index(texts, [f"item-{n}" for n in range(len(texts))], **rule)  # type: ignore[arg-type]


def words(draw: random.Random, count: int) -> list[str]:
    return draw.choices(WORDS, k=count)


def found(matches: Sequence[Match]) -> set[tuple[int, int, str]]:
    return {(match.text, match.item, match.kind) for match in matches}


DISGUISES: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "capitals": str.upper,
    "other punctuation": lambda text: "“" + text.replace(" ", ", ") + "”!",
    "other spacing": lambda text: "\n\t " + text.replace(" ", " \u00a0\n"),
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "full width": lambda text: "".join(
        chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text
    ),
    "soft hyphens": lambda text: "\u00ad".join(text),
}


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("where", ["alone", "start", "middle", "end"])
def test_every_whole_copy_is_found(disguise: str, where: str) -> None:
    draw = random.Random(f"{disguise} {where}")
    items = [" ".join(words(draw, 5 + n % 60)) for n in range(300)]
    before, after = {"alone": (0, 0), "start": (0, 40), "middle": (40, 40), "end": (40, 0)}[where]
    texts = [
        " ".join([*words(draw, before), DISGUISES[disguise](item), *words(draw, after)])
        for item in items
    ]

    matches = index(items).matches(texts)

    assert {(n, n, "exact") for n in range(300)} <= found(matches)


def test_a_copy_of_half_of_an_items_words_is_found_and_of_less_is_not() -> None:
    draw = random.Random(0)
    items = [" ".join(words(draw, 20 + 2 * n)) for n in range(50)]
    half, less = [], []
    for item in items:
        said = item.split()
        start = draw.randrange(len(said) // 2 + 1)
        half.append(" ".join(words(draw, 9) + said[start : start + len(said) // 2] + ["end"]))
        less.append(" ".join(["start"] + said[: len(said) // 2 - 1] + ["end"]))

    shares = {match.text: match.share for match in index(items).matches(half)}

    assert shares.keys() == set(range(50)) and min(shares.values()) >= 0.5
    assert index(items).matches(less) == []


def test_the_share_is_that_of_covered_words() -> None:
    # 20 words; the text holds words 0 to 9 (three 8-grams) and 12 to 19 (one): 18 of 20 covered.
    item = [f"w{n}" for n in range(20)]
    text = " ".join([*item[:10], "and", *item[12:]])

    assert index([" ".join(item)]).matches([text]) == [Match(0, 0, "ngram", 0.9)]


def test_halves_in_two_texts_do_not_add_up() -> None:
    item = [f"w{n}" for n in range(40)]
    parts = [" ".join(item[:19]), " ".join(item[19:38])]

    assert index([" ".join(item)]).matches(parts) == []
    assert [m.share for m in index([" ".join(item)]).matches([" - ".join(parts)])] == [0.95]


def test_items_without_spaces_between_words_are_found() -> None:
    draw = random.Random(1)
    items = ["".join(draw.choices(LETTERS, k=5 + n)) for n in range(40)]
    texts = [f"问：{item}？" + "".join(draw.choices(LETTERS, k=50)) for item in items]
    thai = "ภาษาไทยเขียนโดยไม่เว้นวรรค"

    assert {(n, n, "exact") for n in range(40)} <= found(index(items).matches(texts))
    assert found(index([thai]).matches([f"เขียน {thai} แล้ว"])) == {(0, 0, "exact")}


@pytest.mark.parametrize(
    ("item", "text", "matched"),
    [
        ("how can I kill Python", "please: how can i KILL python?", True),  # five words, embedded
        ("how can I kill", "please: how can i kill python", False),  # four: too common a phrase
        ("how can I kill", "How can I kill?", True),  # ... unless there is nothing else
        ("hi", "Hi!", True),
        ("hi", "hi hi", False),
        ("one two three four five six seven", "one two three four five six eight", False),
    ],
)
def test_items_shorter_than_an_ngram_match_as_a_whole(item: str, text: str, matched: bool) -> None:
    assert bool(index([item]).matches([text])) == matched


def test_items_without_words_are_counted_and_match_nothing() -> None:
    made = index(["?!", "", "five words are in here"])

    assert made.wordless == 2
    assert found(made.matches(["?!", "", "Five words are in here."])) == {(2, 2, "exact")}


def test_equal_items_are_all_reported() -> None:
    made = index(["a b c d e f g h i", "other", "A b c d e f g h, i"])

    assert found(made.matches(["a b c d e f g h i"])) == {(0, 0, "exact"), (0, 2, "exact")}


def test_what_two_neighbouring_texts_hold_together_is_in_neither() -> None:
    item = "one two three four five six seven eight nine ten"
    texts = ["so one two three four five", "six seven eight nine ten"]

    assert index([item]).matches(texts) == []


def test_a_text_that_lacks_the_beginning_of_an_item_does_not_borrow_it() -> None:
    # The rarest 8-gram of each item is its last, so the search goes back from it.
    frame = "one two three four five six seven eight nine"
    made = index([f"{frame} red", f"{frame} blue"])
    texts = ["and one two", "three four five six seven eight nine red"]

    assert found(made.matches(texts)) == {(1, 0, "ngram")}
    assert found(made.matches([" ".join(texts)])) >= {(0, 0, "exact")}


def test_equal_parts_in_several_texts_have_equal_shares() -> None:
    item = [f"w{n}" for n in range(40)]
    part = " ".join(item[5:30])

    assert [m.share for m in index([" ".join(item)]).matches([part] * 3)] == [25 / 40] * 3


def test_the_frame_that_many_items_share_identifies_none_of_them() -> None:
    draw = random.Random(2)
    frame = " ".join(f"frame{n}" for n in range(30))
    items = [f"{frame} {' '.join(words(draw, 12))} {n}" for n in range(30)]
    made = index(items, common=20)

    assert made.matches([f"{frame} something else entirely"]) == []
    assert found(made.matches([items[7]])) == {(0, 7, "exact")}
    own = items[7].split()
    assert found(made.matches([" ".join(own[24:])])) == {(0, 7, "ngram")}


def test_items_made_of_frames_alone_are_still_found_whole() -> None:
    # Every run of two of these words is in more than one item, so that none identifies any.
    items = ["a b c a", "b c a b", "c a b c", "b c a b c a"]
    made = index(items, n=2, least=2, common=1)

    assert found(made.matches(["x c a b c x"])) == {(0, 2, "exact")}
    assert found(made.matches(["x b c a b c a"])) == {(0, n, "exact") for n in range(4)}


def test_repeated_words_are_covered_once() -> None:
    item = "la " * 20

    assert index([item]).matches(["la " * 8]) == [Match(0, 0, "ngram", 1.0)]
    assert index([item]).matches(["la " * 7]) == []
    assert index([item]).matches(["la " * 99]) == [Match(0, 0, "exact", 1.0)]


def test_random_texts_of_the_same_words_match_nothing() -> None:
    draw = random.Random(3)
    items = [" ".join(words(draw, 8 + n % 50)) for n in range(1000)]
    texts = [" ".join(words(draw, 300)) for _ in range(1000)]

    assert index(items).matches(texts) == []


def test_work_in_slices_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(4)
    frame = " ".join(words(draw, 20))
    items = [f"{frame} {' '.join(words(draw, 9))}" for _ in range(20)]
    texts = [f"{frame} {' '.join(words(draw, 30))} {item}" for item in items]
    at_once = index(items).matches(texts)
    monkeypatch.setattr(entries, "_MOST_AT_ONCE", 3)

    assert index(items).matches(texts) == at_once
    assert len(at_once) == 400  # the frame is 20 of 29 words of every item


def test_a_stream_is_numbered_through() -> None:
    item = "one two three four five six seven eight nine ten"
    filler = "x " * 300_000
    texts = [filler, item, filler, filler, filler, item.upper()]

    assert [m.text for m in index([item]).scan(iter(texts))] == [1, 5]


def test_an_empty_index_and_no_texts_match_nothing() -> None:
    assert index([]).matches(["some text"]) == []
    assert index(["some longer item of enough words to be an item"]).matches([]) == []


def test_a_rule_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="least <= n"):
        index(["a"], least=9)
    with pytest.raises(ValueError, match="2 texts and 1 ids"):
        Index(["a", "b"], ["one"])
