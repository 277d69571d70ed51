"""What is found of chat templates: ours is in order, and each known fault is named."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from ablate.data.hygiene.check import Check
from ablate.data.tiny.tokenizer import build_tokenizer
from ablate.models.boundary import Boundary
from ablate.models.template_check import template_checks, template_hash

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,?"
SPECIALS = ["<s>", "</s>", "<u>", "<a>", "<y>"]
MESSAGE = (
    "<{{ message['role'][0] if message['role'] != 'system' else 'y' }}>{{ message['content'] }}"
)
GOOD = (
    "{{ bos_token }}{% for message in messages %}"
    + MESSAGE
    + "{% if message['role'] == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<a>{% endif %}"
)


def boundary(template: str = GOOD, *, adds_bos: bool = False, bos: str | None = "<s>") -> Boundary:
    """Return a boundary with a token for each letter, and some special ones."""
    ids = {token: n for n, token in enumerate([*SPECIALS, *ALPHABET])}
    backend = Tokenizer(WordLevel(ids, unk_token="?"))
    backend.pre_tokenizer = Split("", "isolated")
    if adds_bos:
        backend.post_processor = TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", ids["<s>"])]
        )
    return Boundary(
        PreTrainedTokenizerFast(
            tokenizer_object=backend,
            bos_token=bos,
            eos_token="</s>",
            unk_token="?",
            additional_special_tokens=SPECIALS[2:],
            chat_template=template,
        )
    )


def check(name: str, made: Boundary) -> Check:
    return next(found for found in template_checks(made) if found.name == name)


def statuses(made: Boundary) -> dict[str, str]:
    return {found.name: found.status for found in template_checks(made)}


@pytest.mark.parametrize("made", [boundary(), Boundary(build_tokenizer())], ids=["good", "tiny"])
def test_templates_in_order_pass(made: Boundary) -> None:
    assert set(statuses(made).values()) == {"ok"}, template_checks(made)


def test_the_hash_is_that_of_the_templates_text() -> None:
    # printf abc | sha256sum
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    assert template_hash("abc") == expected
    assert template_hash(GOOD) in check("template", boundary()).found


def test_two_beginning_tokens_fail() -> None:
    twice = check("beginning token", boundary("{{ bos_token }}" + GOOD))

    assert twice.status == "fail" and "2 and 2 times" in twice.found


def test_a_missing_beginning_token_counts_where_the_tokenizer_adds_one() -> None:
    without = GOOD.removeprefix("{{ bos_token }}")

    assert check("beginning token", boundary(without, adds_bos=True)).status == "warn"
    assert check("beginning token", boundary(without)).status == "ok"


def test_a_tokenizer_without_beginning_token_needs_none() -> None:
    made = statuses(boundary(GOOD.removeprefix("{{ bos_token }}"), bos=None))

    assert made["beginning token"] == made["beginning token of rendered text"] == "n/a"
    assert set(made.values()) == {"ok", "n/a"}


def test_template_and_tokenizer_that_both_add_a_beginning_are_told() -> None:
    made = boundary(adds_bos=True)

    found = check("beginning token of rendered text", made)

    assert (found.status, found.value) == ("warn", 2.0)
    # The boundary itself does not fall into the trap.
    assert check("beginning token", made).status == "ok"


def test_a_beginning_token_for_every_round_is_right_after_an_end_token() -> None:
    start = "{% for message in messages %}{% if message['role'] == 'user' %}<s>{% endif %}"
    rounds = start + GOOD.partition("{% for message in messages %}")[2]
    stray = rounds.replace("</s>", "")

    assert check("beginning token", boundary(rounds)).status == "ok"
    assert check("beginning token", boundary(stray)).status == "warn"


def test_a_reply_that_the_template_does_not_end_is_told() -> None:
    made = boundary(GOOD.replace("</s>", "<y>"))

    found = check("end of a reply in the history", made)

    assert found.status == "warn" and "closes it with '<y>'" in found.found
    assert check("end of a completion", made).status == "ok"


def test_a_second_end_token_of_the_model_counts() -> None:
    made = boundary(GOOD.replace("</s>", "<y>"))
    both = Boundary(made.tokenizer, end_ids=[SPECIALS.index("<y>")])

    assert check("end of a reply in the history", both).status == "ok"


def test_a_completion_without_a_real_end_fails() -> None:
    class Endless(Boundary):
        def completion_ids(self, text: str) -> tuple[int, ...]:
            return super().completion_ids(text)[:-1]

    assert check("end of a completion", Endless(boundary().tokenizer)).status == "fail"


def test_a_template_that_changes_the_prompt_once_answered_fails() -> None:
    # The generation prompt opens the reply with a blank that the history does not have.
    asking = GOOD.replace("<a>{% endif %}", "<a> {% endif %}")
    # The history has a blank before the reply that the generation prompt does not have.
    telling = GOOD.replace("{{ message['content'] }}", " {{ message['content'] }}")

    assert check("seam of prompt and completion", boundary(asking)).status == "fail"
    assert check("seam of prompt and completion", boundary(telling)).status == "warn"


@pytest.mark.parametrize(
    ("template", "lost"),
    [
        ("{% for message in messages[-1:] %}" + GOOD.partition("%}")[2], "user, a message of the"),
        (GOOD.replace("in messages %}", "in messages | reverse %}"), "a message of the assistant"),
        (
            GOOD.replace("in messages %}", "in messages if message['role'] == 'user' %}"),
            "a message of the assistant",
        ),
    ],
)
def test_turns_that_get_lost_fail(template: str, lost: str) -> None:
    found = check("several turns", boundary(template))

    assert found.status == "fail" and lost in found.found


def test_a_template_that_refuses_conversations_fails_where_it_does() -> None:
    single = "{% if messages | length > 2 %}{{ raise_exception('one turn only') }}{% endif %}"
    found = {check.name: check for check in template_checks(boundary(single + GOOD))}

    assert found["several turns"].status == found["beginning token"].status == "fail"
    assert "one turn only" in found["several turns"].found
    assert found["end of a reply in the history"].status == "ok"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (
            "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
            + GOOD,
            "refuses it (no system)",
        ),
        (GOOD.replace("in messages %}", "in messages if message['role'] != 'system' %}"), "lose"),
    ],
)
def test_a_template_without_system_prompts_is_told(template: str, said: str) -> None:
    found = check("system prompt", boundary(template))

    assert found.status == "warn" and said in found.found
