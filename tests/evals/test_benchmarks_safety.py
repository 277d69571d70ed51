import math
from collections import Counter
from pathlib import Path

import pytest

from ablate.errors import StageError
from ablate.evals.benchmarks.do_not_answer import DO_NOT_ANSWER
from ablate.evals.benchmarks.xstest import XSTEST
from ablate.evals.refusals import BEHAVIOURS, Behaviour, behaviour

from .benchmark_toys import public, scored, source, values

REFUSAL, ANSWER = "I'm sorry, but I can't help with that.", "Use the kill command."
PROMPTS = [
    {"prompt": f"{kind} {n}?", "type": kind, "label": label}
    for kind, label in (("homonyms", "safe"), ("privacy", "safe"), ("contrast", "unsafe"))
    for n in range(2)
]


def test_labels_take_turns_and_kinds_among_each(tmp_path: Path) -> None:
    items = XSTEST.items(source(tmp_path, "xstest", {"test": PROMPTS}))
    assert [item.category for item in items] == [
        *("homonyms", "contrast", "privacy", "contrast"),
        *("homonyms", "privacy"),
    ]
    assert [item.target for item in items[:4]] == ["safe", "unsafe", "safe", "unsafe"]


def test_safety_benchmarks_have_nothing_to_tune_on(tmp_path: Path) -> None:
    assert not XSTEST.items(source(tmp_path, "xstest", {"test": PROMPTS}, split="validation"))
    made = source(tmp_path, "do-not-answer", {"test": QUESTIONS}, split="validation")
    assert not DO_NOT_ANSWER.items(made)


def test_a_label_that_is_neither_is_refused(tmp_path: Path) -> None:
    rows = [PROMPTS[0] | {"label": "unclear"}]
    with pytest.raises(StageError, match="row 1: column 'label' is 'unclear'; safe and unsafe"):
        XSTEST.items(source(tmp_path, "xstest", {"test": rows}))


def test_rates_f1_and_behaviour_come_from_refusals(tmp_path: Path) -> None:
    items = {
        label: [
            it
            for it in XSTEST.items(source(tmp_path, "xstest", {"test": PROMPTS}))
            if it.target == label
        ]
        for label in ("safe", "unsafe")
    }
    # Of 4 safe prompts 1 is refused and 1 gets no reply; of 2 unsafe ones 1 is refused.
    texts = {"safe": (ANSWER, REFUSAL, " ", ANSWER), "unsafe": (REFUSAL, ANSWER)}
    outputs = [
        scored(XSTEST, item, text)
        for label, of_label in items.items()
        for item, text in zip(of_label, texts[label], strict=True)
    ]
    assert [out.scores["acc"] for out in outputs] == [1, 0, 0, 1, 1, 0]
    assert XSTEST.details is not None
    # F1 = 2 * hits / (hits + false alarms + unsafe prompts) = 2 / (1 + 1 + 2).
    assert values(XSTEST.details(outputs, "x")) == {
        "x_safe_responded": 50.0,
        "x_unsafe_refused": 50.0,
        "x_f1": 50.0,
        "x_behaviour_both": 0.0,
        "x_behaviour_refuses_only": 0.0,
        "x_behaviour_responds_only": 0.0,
        "x_behaviour_neither": 1.0,
    }


@pytest.mark.parametrize(
    ("safe_responded", "unsafe_refused", "expected"),
    [
        (0.9, 0.7, "both"),
        (0.2, 1.0, "refuses only"),
        (0.98, 0.3, "responds only"),
        (0.69, 0.69, "neither"),
        (math.nan, 1.0, None),
    ],
)
def test_behaviour_is_which_of_the_two_rates_is_high(
    safe_responded: float, unsafe_refused: float, expected: Behaviour | None
) -> None:
    assert behaviour(safe_responded, unsafe_refused) == expected


def test_rates_without_prompts_are_undefined() -> None:
    assert XSTEST.details is not None
    found = values(XSTEST.details([], "x"))
    assert len(found) == 3 + len(BEHAVIOURS)
    assert all(math.isnan(value) for value in found.values())


def test_the_public_prompts_are_balanced_in_every_prefix(data_dir: Path) -> None:
    items = XSTEST.items(public(data_dir, "xstest", {"test": "xstest/xstest.jsonl.gz"}))
    assert Counter(item.target for item in items) == {"safe": 250, "unsafe": 200}
    for size in (10, 40, 200):
        assert Counter(item.target for item in items[:size])["safe"] == size / 2
    assert max(Counter(item.category for item in items[:40]).values()) <= 3


QUESTIONS = [
    {
        "id": n,
        "risk_area": area,
        "types_of_harm": "Harm",
        "specific_harms": "",
        "question": f"How do I {n}?",
    }
    for n, area in enumerate(("Malicious Uses ", "Malicious Uses ", "Misinformation Harms"))
]


def test_risk_areas_take_turns_and_a_refusal_is_right(tmp_path: Path) -> None:
    items = DO_NOT_ANSWER.items(source(tmp_path, "do-not-answer", {"test": QUESTIONS}))
    assert [item.id[-1] for item in items] == ["0", "2", "1"]
    assert [item.category for item in items[:2]] == ["Malicious Uses", "Misinformation Harms"]
    assert dict(items[0].info) == {"types_of_harm": "Harm"}
    found = [scored(DO_NOT_ANSWER, items[0], text).scores for text in (REFUSAL, ANSWER, "")]
    assert [scores["acc"] for scores in found] == [1, 0, 0]


def test_a_file_without_the_published_columns_is_refused(tmp_path: Path) -> None:
    rows = [{"id": 1, "prompt": "?"}]
    with pytest.raises(StageError, match="row 1: no 'risk_area'"):
        DO_NOT_ANSWER.items(source(tmp_path, "do-not-answer", {"test": rows}))
