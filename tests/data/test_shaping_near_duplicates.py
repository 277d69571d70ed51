"""Near duplicates: what is found, what is not, in any script."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.data.shaping.near_duplicates import (
    MOST_CHARACTERS,
    MOST_COMPARED,
    RECALL,
    Bands,
    Signatures,
    bands_for,
    jaccard,
    repeats,
    signatures,
)

ALPHABETS = {
    "english": "abcdefghijklmnopqrstuvwxyz      ",
    "chinese": "".join(map(chr, range(0x4E00, 0x4F00))),
    "arabic": "".join(map(chr, range(0x0621, 0x064B))) + "    ",
}


def found(texts: Sequence[str], similarity: float = 0.8) -> list[bool]:
    """Return for each text whether it is left out."""
    return list(repeats(signatures(texts, bands_for(similarity)), similarity, texts.__getitem__))


def random_texts(alphabet: str, count: int, size: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(ALPHABETS[alphabet], k=size)) for _ in range(count)]


def edited(text: str, edits: int) -> str:
    """Return the text with so many characters replaced by one it does not have, evenly apart."""
    letters = list(text)
    for edit in range(edits):
        letters[10 + edit * (len(text) - 20) // edits] = "\u2603"
    return "".join(letters)


def test_similarity_is_shared_over_all_grams() -> None:
    # abcde bcdef against abcde bcdeg: one of three is shared.
    assert jaccard("abcdef", "abcdeg") == 1 / 3
    assert jaccard("abcdeabcde", "abcdeabcdeabcde") == 1.0
    assert jaccard("ab", "ab") == 1.0
    assert jaccard("ab", "abc") == 0.0


def test_the_chance_to_be_compared_follows_the_bands() -> None:
    # Two bands of one hash each differ with chance 1/4 at similarity 1/2.
    assert Bands(2, 1).chance(0.5) == 0.75
    # 1 - (1 - 1/4) ** 1
    assert Bands(1, 2).chance(0.5) == 0.25


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.8, 0.9, 0.99])
def test_bands_are_as_wide_as_recall_allows(similarity: float) -> None:
    bands = bands_for(similarity)
    assert bands.chance(similarity) >= RECALL
    wider = Bands(128 // (bands.width + 1), bands.width + 1)
    assert wider.chance(similarity) < RECALL


def test_equal_texts_need_one_band_and_hardly_similar_ones_all() -> None:
    assert bands_for(1.0) == Bands(1, 128)
    assert bands_for(0.001) == Bands(128, 1)


@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize(("edits", "least"), [(0, 1.0), (1, 1.0), (3, 0.99), (5, 0.98)])
def test_planted_near_duplicates_are_found(alphabet: str, edits: int, least: float) -> None:
    """A replaced character changes 5 of 300 grams: k edits give (300 - 5k) / (300 + 5k).

    That is 0.967, 0.905 and 0.846 for 1, 3 and 5; the last still has a chance of 0.9997.
    """
    texts = random_texts(alphabet, 200, 304)
    result = found([*texts, *(edited(text, edits) for text in texts)])
    assert not any(result[:200])
    assert sum(result[200:]) >= 200 * least


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_texts_below_the_threshold_are_kept(alphabet: str) -> None:
    """Seven edits, 265 / 335 = 0.791, share a band 99 times in 100 and fail the exact check."""
    texts = random_texts(alphabet, 100, 304)
    assert jaccard(texts[0], edited(texts[0], 7)) == pytest.approx(265 / 335, abs=0.01)
    assert not any(found([*texts, *(edited(text, 7) for text in texts)]))


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_random_texts_are_no_duplicates(alphabet: str) -> None:
    assert not any(found(random_texts(alphabet, 2000, 60)))


def test_only_kept_texts_are_compared_with() -> None:
    """b nearly equals a, c nearly equals b but not a: b is left out, so c stays."""
    a = random_texts("english", 1, 304)[0]
    b = edited(a, 4)
    c = b.replace("\u2603", "\u2602")[:100] + edited(b[100:], 4)
    assert jaccard(a, b) >= 0.8 > jaccard(a, c)
    assert found([a, b, c]) == [False, True, False]


def test_of_a_cluster_larger_than_what_is_compared_one_is_kept() -> None:
    text = random_texts("english", 1, 400)[0]
    draw = random.Random(1)
    places = [draw.randrange(400) for _ in range(4 * MOST_COMPARED)]
    copies = [text[:place] + "\u2603" + text[place + 1 :] for place in places]
    assert found([text, *copies]) == [False] + [True] * len(copies)


def test_twins_are_found_far_apart_among_rows_of_one_template() -> None:
    """All share half of their grams and most bands of the template; twins differ by one letter."""
    template = random_texts("english", 1, 200)[0]
    texts = [template + own for own in random_texts("english", 600, 100, seed=1)]
    twins = [edited(text, 1) for text in texts[:100]]
    result = found([*texts, *twins])
    assert not any(result[:600])
    assert sum(result[600:]) >= 98


def test_signatures_do_not_depend_on_what_is_hashed_together() -> None:
    texts = ["", "ab", "abcde", *random_texts("chinese", 5, 40), "\ud800 half"]
    together = signatures(texts, bands_for(0.8))
    alone = [signatures([text], bands_for(0.8)) for text in texts]
    for name in Signatures._fields:
        parts = np.concatenate([getattr(one, name) for one in alone])
        assert np.array_equal(getattr(together, name), parts)


def test_estimates_are_unbiased() -> None:
    """Mean error of 300 estimates with a standard error of at most 0.044 each: below 0.01."""
    texts = random_texts("english", 300, 304)
    twins = [edited(text, 8) for text in texts]
    digits = signatures([*texts, *twins], bands_for(0.8)).digits
    estimates = (digits[:300] == digits[300:]).mean(axis=1)
    # Eight edits leave 260 of 340 grams; other minima agree in 8 bits once in 256.
    assert estimates.mean() == pytest.approx(260 / 340, abs=0.01)
    assert estimates.std() < 0.05


def test_of_a_very_long_text_the_beginning_is_compared() -> None:
    start = random_texts("chinese", 1, 1000)[0] * (MOST_CHARACTERS // 1000 + 1)
    assert found([start[:MOST_CHARACTERS] + "x", start[:MOST_CHARACTERS] + "y" * 9], 1.0) == [
        False,
        True,
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab", max_size=14), min_size=1, max_size=25), st.floats(0.05, 1.0))
def test_every_text_left_out_nearly_equals_an_earlier_one_kept(
    texts: list[str], similarity: float
) -> None:
    result = found(texts, similarity)
    for row, out in enumerate(result):
        others = [jaccard(texts[row], texts[other]) for other in range(row) if not result[other]]
        assert not out or max(others) >= similarity
        # Equal texts share every band, so none of these is ever missed.
        assert out or texts[row] not in texts[:row]
