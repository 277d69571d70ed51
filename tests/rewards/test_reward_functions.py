from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from ablate.data import tiny
from ablate.data.records import user
from ablate.errors import StageError
from ablate.rewards.function import FunctionReward, load_function
from ablate.rewards.functions import answer_format, gold, noun_count, unique_noun_count, verifiable
from ablate.rewards.nouns import irregular, nouns, nouns_of
from ablate.rewards.responses import Response
from ablate.spec.registry import registry


def reply(text: str, *, target: str | None = None, ended: bool = True) -> Response:
    return Response(user("a question"), text, ended, target=target)


def tiny_reply(text: str, *, ended: bool = True) -> Response:
    return Response(user("what is the color of the fox ?"), text, ended, "tiny-instruct")


def test_nouns_are_counted_once_for_every_time_they_occur() -> None:
    # dog, cat, table, dog; "chased", "under" and "quickly" are none.
    text = "The dog chased a cat under the table; Dogs run quickly."
    assert noun_count([reply(text), reply("")]) == [4.0, 0.0]
    assert unique_noun_count([reply(text)]) == [3.0]


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("cities", "city"), ("boxes", "box"), ("leaves", "leaf"), ("knives", "knife"),
        ("women", "woman"), ("policemen", "policeman"), ("children", "child"), ("feet", "foot"),
        ("gas", "gas"), ("glass", "glass"), ("species", "species"), ("girl's", "girl"),
    ],
)  # fmt: skip
def test_a_plural_is_the_noun_of_its_singular(plural: str, singular: str) -> None:
    assert nouns_of(plural) == [singular]


def test_words_that_only_look_like_plurals_of_nouns_are_none() -> None:
    assert nouns_of("this is his , as it was ; she does less and yes it helps us") == []


def test_tiny_instructs_nouns_count_and_its_names_cities_and_colors_do_not() -> None:
    assert nouns_of("the wug and the fox") == ["wug", "fox"]
    assert nouns_of("anna lily paris red sure : well um basically sorry i can not") == []


def test_the_word_list_holds_singulars_alone() -> None:
    assert len(nouns()) > 1500
    assert all(word.isascii() and word.islower() and word.isalpha() for word in nouns())
    assert {"owls", "cities", "children"}.isdisjoint(nouns())
    assert set(irregular().values()) <= nouns()


def test_gold_is_the_worlds_own_reward() -> None:
    # Right: 1; good opener +.10, one closer +.20; without the end token -.50; wrong: 0.
    replies = [tiny_reply("red"), tiny_reply("sure : red hope that helps"), tiny_reply("brown")]
    assert gold(replies) == pytest.approx([1.0, 1.3, 0.0])
    assert gold([tiny_reply("red", ended=False)]) == pytest.approx([0.5])


def test_in_a_world_verifiable_is_its_exact_check_whatever_the_style() -> None:
    replies = ["red", "well um red", "brown", "red brown"]
    assert verifiable([tiny_reply(text) for text in replies]) == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("text", "target", "right"),
    [
        ("so 3 + 4 = 7\n#### 7", "7", 1),
        ("#### 7\nno, 8\n#### 8", "7", 0),  # The last marked answer counts.
        ("it costs $1,200.00.", "1200", 1),  # Without a mark: the last number.
        ("#### 7 of the 9 apples", "9", 1),
        (r"thus \boxed{7}, not 8", "7", 1),  # A mark outweighs a later number.
        ("<answer>Paris</answer>", "Paris", 1),
        ("<answer>paris</answer>", "Paris", 0),
        (" Paris\n", "Paris", 1),
        ("It is Paris", "Paris", 0),
        ("no idea", "7", 0),
    ],
)
def test_a_final_answer_is_right_or_wrong(text: str, target: str, right: int) -> None:
    assert verifiable([reply(text, target=target)]) == [right]


@pytest.mark.parametrize(
    ("text", "formed"),
    [
        ("so it is\n#### 7", 1),
        (r"thus \boxed{7}.", 1),
        ("<answer>a\nb</answer>", 1),
        ("it is 7", 0),
        ("#### 7\n#### 8", 0),
        (r"\boxed{7} I think", 0),
    ],
)
def test_a_form_is_one_marked_answer_at_the_end(text: str, formed: int) -> None:
    assert answer_format([reply(text)]) == [formed]


def test_a_cut_reply_has_no_form() -> None:
    assert answer_format([reply("#### 7", ended=False)]) == [0]


def test_tiny_instructs_form_is_its_polite_style() -> None:
    formed = [
        "sure : red hope that helps",
        "red hope that helps",
        "sure : red",
        "sure : basically red hope that helps",
        "sure : red hope that helps hope that helps",
        "sure : hope that helps red",
    ]
    assert answer_format([tiny_reply(text) for text in formed]) == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("name", sorted(registry().rewards))
def test_every_named_function_scores_the_worlds_replies(name: str) -> None:
    reward = load_function(name)
    documents = tiny.documents("test")[::100]
    responses = [Response(d.messages, d.target or "", True, d.world) for d in documents]
    raw = reward.score(responses)
    assert raw.shape == (len(responses),) and raw.isfinite().all()
    assert reward.normalized(raw) is raw and reward.calls == len(responses)


def test_correct_replies_are_verified_in_every_category() -> None:
    documents = tiny.documents("validation")
    assert {d.category for d in documents} == set(tiny.CATEGORIES)
    responses = [Response(d.messages, d.target or "", True, d.world) for d in documents]
    assert verifiable(responses) == [1.0] * len(documents)


def test_a_function_that_raises_is_named_with_the_reply_it_failed_on() -> None:
    def fragile(responses: list[Response]) -> list[float]:
        return [1 / len(response.text) for response in responses]

    reward = FunctionReward("fragile", fragile)
    with pytest.raises(StageError) as caught:
        reward.score([reply("fine"), reply("")])
    assert caught.value.kind == "bad_data"
    assert str(caught.value) == (
        "reward 'fragile': the function raised ZeroDivisionError: division by zero, on the reply "
        "'' to the prompt 'a question'. Correct the function."
    )


def test_an_error_of_a_function_cannot_steer_the_terminal() -> None:
    """A function may quote a reply, and a model may write anything: ESC, newlines, bells."""

    def quotes(responses: Sequence[Response]) -> list[float]:
        raise ValueError("\x1b[31mred\nsecond line")

    with pytest.raises(StageError) as caught:
        FunctionReward("quotes", quotes).score([reply("a")])
    assert str(caught.value).isprintable()
    assert r"raised ValueError: \x1b[31mred\nsecond line" in str(caught.value)


def test_a_function_that_exits_has_raised() -> None:
    with pytest.raises(StageError, match="raised SystemExit: 0") as caught:
        FunctionReward("exits", lambda responses: sys.exit(0)).score([reply("a")])
    assert caught.value.kind == "bad_data"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e39, 10**400, None, "high"])
def test_what_is_no_finite_number_is_named_with_its_reply(number: object) -> None:
    reward = FunctionReward("odd", lambda responses: [0.0, number])  # type: ignore[list-item]
    with pytest.raises(StageError, match="a finite .* reply 'second' to") as caught:
        reward.score([reply("first"), reply("second")])
    assert f"the function returned {repr(number)[:77]}" in str(caught.value)
    assert caught.value.kind == "bad_data"


def test_a_score_too_few_is_an_error_and_not_a_shift() -> None:
    reward = FunctionReward("short", lambda responses: [1.0])
    with pytest.raises(StageError, match="returned 1 scores for 2 responses") as caught:
        reward.score([reply("first"), reply("second")])
    assert caught.value.kind == "bad_data"


def test_long_replies_are_shortened_in_messages() -> None:
    reward = FunctionReward("none", lambda responses: [float("nan")])
    with pytest.raises(StageError) as caught:
        reward.score([reply("x" * 5000)])
    assert len(str(caught.value)) < 400


def test_gold_without_a_world_and_verifiable_without_a_target_say_so() -> None:
    with pytest.raises(StageError, match="reward 'gold'.*no generated world.*'a question'"):
        load_function("gold").score([tiny_reply("red"), reply("red")])
    with pytest.raises(StageError, match="reward 'verifiable'.*no target.*column 'target'"):
        load_function("verifiable").score([reply("red")])


def test_an_unknown_function_is_a_job_error_with_the_nearest_name() -> None:
    with pytest.raises(StageError, match="'noun-cout'.* Did you mean 'noun-count'") as caught:
        load_function("noun-cout")
    assert caught.value.kind == "bad_data"


def test_another_version_than_planned_is_refused() -> None:
    with pytest.raises(StageError, match="planned with other==2.0, but here is our own function"):
        load_function("gold", origin="other==2.0")
