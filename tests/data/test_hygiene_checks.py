"""What each check finds, and that it finds nothing in clean data."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import pytest

from ablate.data.hygiene.check import Check, percent, worst
from ablate.data.hygiene.checks import (
    checked,
    labeller_check,
    overlap_check,
    unusable_rows,
)
from ablate.data.hygiene.exposure import overlap
from ablate.data.records import Demonstration, Feedback, Judged, Pair, Prompt, user
from ablate.data.shaping.items import Item
from ablate.data.shaping.phrases import REFUSALS


def pair(row: int = 1, **fields: object) -> Judged:
    said: dict[str, object] = {
        "prompt": user(f"question {row}"),
        "chosen": f"good answer {row}",
        "rejected": f"bad answer {row}",
    }
    return Judged(Pair(f"s-{row}", **{**said, **fields}))  # type: ignore[arg-type]


def found(name: str, items: Iterable[Item]) -> Check:
    return next(check for check in checked(items) if check.name == name)


def test_clean_pairs_pass_every_check() -> None:
    draw = random.Random(0)

    def said() -> str:
        return " ".join(f"word{draw.randrange(10_000)}" for _ in range(draw.randrange(5, 30)))

    clean = [
        pair(n, chosen=said(), rejected=said(), chosen_score=2.0, rejected_score=1.0)
        for n in range(40)
    ]

    statuses = {check.name: check.status for check in checked(clean)}

    assert set(statuses.values()) == {"ok"}, statuses


def test_no_rows_leave_every_check_undefined() -> None:
    checks = checked([])

    assert {check.status for check in checks} == {"n/a"}
    assert all(math.isnan(check.value) for check in checks)


@pytest.mark.parametrize(
    ("wrong", "status"),
    [(0, "ok"), (5, "ok"), (6, "warn"), (50, "warn"), (51, "fail"), (100, "fail")],
)
def test_label_direction_fails_below_half_and_warns_below_95_percent(
    wrong: int, status: str
) -> None:
    rows = [pair(n, chosen_score=1.0, rejected_score=2.0) for n in range(wrong)]
    rows += [pair(n, chosen_score=2.0, rejected_score=2.0) for n in range(wrong, 100)]

    check = found("label direction", rows)

    assert check.status == status and check.value == pytest.approx(1 - wrong / 100)
    assert check.rows == tuple(f"s-{n}" for n in range(min(wrong, 20)))


def test_a_score_that_is_no_number_is_counted_and_not_compared() -> None:
    rows = [
        pair(1, chosen_score=math.nan, rejected_score=1.0),
        pair(2, chosen_score=3.0, rejected_score=1.0),
        pair(3),
    ]

    check = found("label direction", rows)

    assert (check.status, check.value) == ("warn", 1.0)
    assert "of 1 pairs" in check.found and "1 more have a score that is no number" in check.found


def test_length_bias_is_the_share_of_pairs_whose_longer_reply_is_chosen() -> None:
    # 60 longer, 20 shorter, 20 equal: 60 + 20 / 2 of 100, and 2 * 0.7 - 1 = 0.4.
    rows = [pair(n, chosen="one two three", rejected="one two") for n in range(60)]
    rows += [pair(n, chosen="one", rejected="one two") for n in range(60, 80)]
    rows += [pair(n, chosen="one two", rejected="three four") for n in range(80, 100)]

    check = found("length bias", rows)

    assert check.value == pytest.approx(0.7) and "+0.40" in check.found
    # Mean words: (60 * 3 + 20 * 1 + 20 * 2) / 100 and 2.
    assert "2.4 words are chosen and 2.0 rejected" in check.found
    # Wilson's interval of 60 in 80 is 0.6452 to 0.8319; as shares of 100 with 10 for the ties.
    assert "61.6 % to 76.6 %" in check.found and check.status == "warn"


def test_few_long_chosen_replies_are_no_proof_of_length_bias() -> None:
    rows = [pair(n, chosen="one two three", rejected="one") for n in range(4)]

    assert found("length bias", rows).status == "ok"


def test_length_bias_counts_words_of_languages_without_spaces() -> None:
    rows = [pair(n, chosen="東京大学" * 3, rejected="東京") for n in range(50)]

    assert found("length bias", rows).value == 1.0


def test_ties_and_identical_replies_are_named() -> None:
    rows = [
        pair(1, chosen_score=1.0, rejected_score=1.0),
        pair(2, chosen_score=2.0, rejected_score=1.0),
        pair(3, chosen="Same  reply", rejected="same reply"),
        pair(4, chosen="x y", rejected="x y"),
    ]

    ties, same = found("ties", rows), found("identical replies", rows)

    assert (ties.value, ties.rows, ties.status) == (0.5, ("s-1",), "warn")
    assert (same.value, same.rows, same.status) == (0.5, ("s-3", "s-4"), "warn")


def test_repeats_are_counted_up_to_case_and_spacing() -> None:
    rows = [pair(1), pair(2, prompt=user("Question  1")), pair(3)]
    again = pair(4, prompt=user("QUESTION 1"), chosen="good answer 1", rejected="bad answer 1")

    assert found("repeated rows", [*rows, again]).rows == ("s-4",)
    assert found("repeated prompts", [*rows, again]).rows == ("s-2", "s-4")


@pytest.mark.parametrize(
    ("roles", "good"),
    [
        (["user"], True),
        (["system", "user", "assistant", "user"], True),
        (["user", "user"], False),
        (["user", "assistant"], False),
        (["assistant", "user"], False),
        (["user", "system", "user"], False),
        (["system"], False),
        ([], False),
    ],
)
def test_turns_alternate_from_user_to_user(roles: list[str], good: bool) -> None:
    prompt = [{"role": role, "content": "hm"} for role in roles]

    assert found("turns", [Prompt("p", prompt)]).value == (0.0 if good else 1.0)


def test_system_prompts_and_empty_texts_are_counted() -> None:
    system = [{"role": "system", "content": "be brief"}, *user("hm")]
    rows: list[Item] = [
        Demonstration(system, "ok", id="d-1"),
        Demonstration(user("hm"), " \n", id="d-2"),
        Demonstration(user(" "), "ok", id="d-3"),
    ]

    assert found("system prompts", rows).rows == ("d-1",)
    assert found("system prompts", rows).status == "ok"
    assert found("empty texts", rows).rows == ("d-2", "d-3")
    assert found("empty texts", rows).status == "fail"  # more than half


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("a \ufffd b", True),
        ("half \udc80", True),
        ("bell \x07", True),
        ("nul\x00", True),
        ("donâ€™t", True),
        ("cafÃ©", True),
        ("10Â\u00a0km", True),
        ("NÃO é âncora, Âge, don’t €5 — “ok”\t\r\n", False),
        ("naïve 東京 😀", False),
    ],
)
def test_leftovers_of_a_wrong_decoding_are_found(text: str, broken: bool) -> None:
    rows = [Demonstration(user("hm"), text, id="d-1")]

    assert found("broken characters", rows).rows == (("d-1",) if broken else ())


def test_a_text_too_long_to_train_on_is_named() -> None:
    rows = [pair(1, rejected="word " * 4096), pair(2, rejected="word " * 4097)]

    assert found("extreme lengths", rows).rows == ("s-2",)


def test_refusals_are_counted_by_side() -> None:
    refusal = "As an AI language model, I cannot do that."
    rows: list[Item] = [
        pair(1, chosen=refusal),
        pair(2, rejected=refusal),
        pair(3, chosen="Here: " + "fine " * 200 + refusal),  # not in its opening
        pair(4, chosen="As an aid to memory, write it down."),
        Judged(feedback=Feedback("f-1", user("hm"), refusal, liked=False)),
    ]

    check = found("refusals", rows)

    assert check.rows == ("s-1",) and check.value == pytest.approx(1 / 4)
    assert "25.0 % of chosen replies, 25.0 % of rejected replies, 100.0 % of disliked" in (
        check.found
    )


def test_every_phrase_that_the_filter_knows_is_found() -> None:
    rows = [
        Demonstration(user("hm"), f"Well, {phrase.upper()}, so no.", id=phrase)
        for phrase in REFUSALS
    ]

    assert found("refusals", rows).value == 1.0


def test_set_phrases_are_seen_in_any_language() -> None:
    rows = [
        Demonstration(user(f"q{n}"), f"Als KI-Modell kann ich {n} nicht", id=f"d-{n}")
        for n in range(10)
    ]
    rows += [
        Demonstration(user(f"p{n}"), f"{n} ist eine ganz andere Antwort", id=f"e-{n}")
        for n in range(90)
    ]

    check = found("openings", rows)

    assert check.value == pytest.approx(0.1) and "'als ki-modell kann ich'" in check.found
    assert check.status == "warn"


def test_a_common_opening_survives_many_others() -> None:
    rows = [
        Demonstration(user("q"), f"start {n} of it all" if n % 10 else "sure, here it is: yes")
        for n in range(12_000)
    ]

    # A true share of 10 %; counting in bounded memory may lose one reply in two thousand.
    assert 0.0995 <= found("openings", rows).value <= 0.1


def test_rows_left_out_are_counted_by_reason() -> None:
    check = unusable_rows({"prompts_differ": 5, "empty_chosen": 4}, 2303, ["row 3: empty_chosen"])

    assert check.found == "9 of 2312 rows were left out: 4 empty_chosen, 5 prompts_differ"
    assert (check.status, check.rows) == ("warn", ("row 3: empty_chosen",))
    assert unusable_rows({}, 10).status == "ok"
    assert unusable_rows({"empty_prompt": 6}, 5).status == "fail"
    assert unusable_rows({}, 0).status == "n/a"


@pytest.mark.parametrize(
    ("labeller", "judge", "status"),
    [
        ("GPT-4", "gpt-4-0613", "warn"),
        ("gpt-4", "GPT-4", "warn"),
        ("gpt-4", "gpt-4o", "ok"),
        ("GPT-3.5", "gpt-4", "ok"),
        ("human", "gpt-4", "n/a"),
        ("", "gpt-4", "n/a"),
        ("GPT-4", "", "n/a"),
    ],
)
def test_a_judge_that_labelled_the_data_is_reported(labeller: str, judge: str, status: str) -> None:
    assert labeller_check(labeller, judge).status == status


def test_shared_prompts_of_reward_model_and_policy_are_reported() -> None:
    prompts = [f"a prompt of several words number {n} is this" for n in range(10)]

    same = overlap_check(overlap(prompts, prompts[:4]))
    new = overlap_check(overlap(prompts[:5], prompts[5:]))

    assert (same.status, same.value) == ("warn", 1.0)
    assert "40.0 % the other way around" in same.found
    assert new.status == "ok" and overlap_check(overlap(prompts, [])).status == "n/a"


def test_the_gravest_status_is_the_one_that_counts() -> None:
    checks = [Check("a", "ok", ""), Check("b", "fail", ""), Check("c", "n/a", "")]

    assert worst(checks) == "fail" and worst(checks[2:]) == worst([]) == "n/a"


def test_few_are_not_shown_as_none() -> None:
    assert [percent(x) for x in (0, 0.0004, 0.5, 0.9996, 1, math.nan)] == [
        "0.0 %",
        "0.04 %",
        "50.0 %",
        "99.96 %",
        "100.0 %",
        "n/a",
    ]


def test_thumbs_beside_pairs_are_counted_and_named() -> None:
    thumb = Judged(feedback=Feedback("f-1", user("q"), "a", liked=True))
    rows = [pair(1), thumb, pair(2), pair(3)]
    (found,) = [check for check in checked(rows) if check.name == "pairs and thumbs"]
    assert (found.status, found.value, found.rows) == ("warn", 1 / 4, ("f-1",))
    (alone,) = [check for check in checked([thumb]) if check.name == "pairs and thumbs"]
    assert alone.status == "ok"
