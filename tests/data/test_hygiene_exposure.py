"""Which rows hold which items, on which side, and how much of a suite that is."""

from __future__ import annotations

import math

import pytest

from ablate.data.hygiene.exposure import (
    Exposure,
    Finding,
    Suites,
    contamination_report,
    overlap,
    sides,
)
from ablate.data.hygiene.exposure_page import examples_markdown, exposure_markdown
from ablate.data.records import Demonstration, Document, Feedback, Judged, Pair, Prompt, user
from ablate.data.shaping.items import Item

QUESTION = "Janet's ducks lay 16 eggs per day and she eats three for breakfast"  # 13 words
OTHER = "How can I kill a Python process that hangs"


def suite(*texts: str, target: str | None = None) -> list[Document]:
    return [Document(f"q{n}", user(text), "any", target) for n, text in enumerate(texts)]


def pair(prompt: str, chosen: str = "yes", rejected: str = "no", row: int = 1) -> Judged:
    return Judged(Pair(f"set-{row}", user(prompt), chosen, rejected))


def test_a_finding_says_row_and_side() -> None:
    rows = [
        pair("unrelated"),
        pair(f"Please: {QUESTION.upper()}!", row=2),
        pair("what?", rejected=f"{OTHER}? I will not say.", row=3),
    ]

    found = [findings for _, findings in Suites({"s": suite(QUESTION, OTHER)}).findings(rows)]

    assert found == [
        (),
        (Finding("s", "q0", "set-2", "prompt", "exact", 1.0),),
        (Finding("s", "q1", "set-3", "reply", "exact", 1.0),),
    ]


def test_every_kind_of_row_is_looked_at() -> None:
    rows: list[Item] = [
        Demonstration(user("hi"), QUESTION, id="d"),
        Prompt("p", user(QUESTION)),
        Judged(feedback=Feedback("f", user("hi"), QUESTION, liked=False)),
    ]

    report = contamination_report({"rows": rows}, {"s": suite(QUESTION)})

    assert [(exposure.rows, exposure.count("exact")) for exposure in report] == [(3, 1)]


def test_a_conversation_is_one_prompt() -> None:
    said = [
        {"role": "user", "content": "Janet's ducks lay 16 eggs"},
        {"role": "assistant", "content": "per day and she eats three for breakfast"},
        {"role": "user", "content": "so?"},
    ]

    prompt = sides(Judged(Pair("c", said, "yes", "no")))[0]

    assert prompt == ("prompt", "\n".join(message["content"] for message in said))
    assert Suites({"s": suite(QUESTION)}).matches(prompt[1])


def test_a_system_prompt_is_no_part_of_an_item() -> None:
    system = {"role": "system", "content": "You are helpful and honest. " * 9}
    documents = [Document("q", (system, *user(QUESTION)), "any")]

    made = Suites({"s": documents})

    assert made.matches(QUESTION) and not made.matches(system["content"])


def test_targets_are_looked_for_when_asked() -> None:
    answer = "She sells the remaining nine eggs at the market every single day"
    documents = [*suite(QUESTION, target=answer), Document("none", user(OTHER), "any")]
    rows = [pair("hm", chosen=answer)]

    prompts = contamination_report({"t": rows}, {"s": documents})
    targets = contamination_report({"t": rows}, {"s": documents}, part="target")

    assert (prompts[0].items, len(prompts[0].best)) == (2, 0)
    assert (targets[0].items, len(targets[0].best)) == (1, 1)


def test_the_best_match_of_an_item_is_kept() -> None:
    part = " ".join(QUESTION.split()[:9])
    rows = [pair(part, row=1), pair(QUESTION, row=2), pair(QUESTION, row=3)]

    (exposure,) = contamination_report({"t": rows}, {"s": suite(QUESTION, OTHER)})

    assert exposure.best["q0"] == Finding("s", "q0", "set-2", "prompt", "exact", 1.0)
    assert (exposure.rows, exposure.share) == (3, 0.5)


def test_a_set_against_itself_shows_only_what_it_repeats() -> None:
    texts = [QUESTION, OTHER, QUESTION.lower()]
    rows = [Prompt(f"q{n}", user(text)) for n, text in enumerate(texts)]

    (same,) = contamination_report({"s": rows}, {"s": suite(*texts)})

    assert sorted(same.best) == ["q0", "q2"] and same.rows == 2


def test_sets_without_rows_or_items_have_no_share() -> None:
    report = contamination_report({"t": []}, {"s": [], "u": suite(OTHER)})

    assert [exposure.items for exposure in report] == [0, 1]
    assert math.isnan(report[0].share) and report[1].share == 0.0


def test_the_page_leaves_out_what_holds_nothing_unless_asked() -> None:
    report = contamination_report(
        {"t": [pair(QUESTION)]}, {"s": suite(QUESTION), "u|v": suite(OTHER)}
    )
    texts = {("s", "q0"): "Janet's\x1b[31m ducks | lay"}

    assert exposure_markdown(report).splitlines()[2:] == ["| t | s | 1 | 1 | 0 | 100.0% | 1 |"]
    assert "| t | u\\|v | 1 | 0 | 0 | 0.0% | 0 |" in exposure_markdown(report, empty=True)
    assert examples_markdown(report, texts).splitlines() == [
        "- t × s",
        "  - q0 in the prompt of set-1, exact, 100%: Janet's\\<U+001B\\>\\[31m ducks \\| lay",
    ]


def test_nothing_found_has_no_examples() -> None:
    assert examples_markdown([Exposure("t", "s", 3)], {}) == ""


@pytest.mark.parametrize("n", [1, 3, 13])
def test_any_length_of_ngrams_works(n: int) -> None:
    report = contamination_report({"t": [pair(QUESTION)]}, {"s": suite(QUESTION)}, n=n)

    assert report[0].count("exact") == 1


def test_overlap_of_two_prompt_sets_is_measured_from_both_sides() -> None:
    left = [QUESTION, OTHER, "something of its own here", "another one"]
    right = [QUESTION.upper(), " ".join(OTHER.split()[:8]) + " which I did start"]

    found = overlap(left, right)

    # Left: the question is whole in the right, the other shares 8 of its 9 words; 2 of 4 are free.
    assert (found.left_in_right, found.left_like_right) == (0.25, 0.5)
    # Right: the question is whole in the left, the other shares 8 of its 12 words.
    assert (found.right_in_left, found.right_like_left) == (0.5, 1.0)


def test_overlap_with_an_empty_set_is_undefined_on_its_side() -> None:
    found = overlap([], [QUESTION])

    assert math.isnan(found.left_in_right) and found.right_in_left == pytest.approx(0.0)
