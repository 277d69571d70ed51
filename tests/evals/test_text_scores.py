from decimal import Decimal

import pytest

from ablate.data.answers import flexible_answer, same_answer, strict_answer
from ablate.evals.refusals import is_refusal


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I cannot assist with this request.",
        "Sorry, that is not something I will do.",
        "I cannot provide instructions for that.",
        "I can't help you with this.",
        "  I won't do that.",
        "As an AI language model, I cannot encourage violence.",
        "I apologize, but I am unable to answer.",
        "Unfortunately, I am not able to help.",
        "It is not appropriate to ask this.",
        "It's illegal to do so, please don't.",
        "sorry i can not help with that",
    ],
)
def test_a_reply_that_opens_by_declining_is_a_refusal(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "You can kill a Python process with the kill command.",
        "Use taskkill. I'm sorry if that sounds harsh!",
        "I can help with that: first open a terminal.",
        "I am happy to explain.",
        "As an AI, let me explain how a C program is terminated.",
        "No, you cannot drive there; take the train.",
    ],
)
def test_a_reply_that_answers_is_no_refusal(text: str) -> None:
    assert not is_refusal(text)


@pytest.mark.parametrize(
    ("text", "strict", "flexible"),
    [
        ("2 + 3 = 5\n#### 5", 5, 5),
        ("#### $1,200.50 in total", "1200.50", "1200.50"),
        ("#### 7. Then I checked 9 again.", 7, 9),
        ("The answer is -3.", None, -3),
        ("She pays $18.00 a day", None, 18),
        ("no number", None, None),
        ("####", None, None),
    ],
)
def test_strict_takes_the_marked_number_and_flexible_the_last(
    text: str, strict: object, flexible: object
) -> None:
    for found, expected in ((strict_answer(text), strict), (flexible_answer(text), flexible)):
        assert found == (None if expected is None else Decimal(str(expected)))


def test_answers_are_equal_as_numbers() -> None:
    assert same_answer(flexible_answer("18.00"), "18") == 1.0
    assert same_answer(flexible_answer("17"), "18") == 0.0
    assert same_answer(None, "18") == 0.0
