"""The word-level tokenizer of tiny-instruct."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from ablate.data.tiny import words
from ablate.data.tiny.catalogue import all_tasks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIALS = ("<pad>", "<bos>", "<eos>", "<sep>", "<unk>")
"""Ids 0 to 4. No text of the world holds ``<unk>``; foreign text must not crash the tokenizer."""

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %} {{ message['content'] }} "
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ sep_token }}{% endif %}"
    "{% endfor %}"
)
"""``<bos> prompt <sep>``; the separator asks for the reply, so no generation prompt is needed."""


@cache
def vocabulary() -> tuple[str, ...]:
    """Return every word of the world, special tokens first, then in order of the alphabet."""
    found = {word for prompt in all_tasks() for word in prompt.split()}
    answers = (words.DO_NOT_KNOW, words.REFUSAL, words.NO_IDEA, words.COMPLIANCE)
    styles = (words.GOOD_OPENER, words.SLOPPY_OPENER, words.FILLER, words.CLOSER)
    for text in (*answers, words.CORRECTION, words.AGREEMENT, *styles):
        found.update(word for word in text.split() if not re.fullmatch(r"\{\w+\}", word))
    found.update(*words.VALUES.values(), words.SAYABLE, ("+", "-", "="))
    found.update(str(number) for number in range(words.LARGEST_NUMBER + 1))
    found.update(letter.upper() for letter in words.LETTERS)
    return (*SPECIALS, *sorted(found))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return a new tokenizer with its chat template: one token a word, split at whitespace."""
    # Imported here, so that a plan may read the world's data without waiting a second for them.
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    ids = {word: index for index, word in enumerate(vocabulary())}
    backend = Tokenizer(WordLevel(ids, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        sep_token="<sep>",
        unk_token="<unk>",
        chat_template=CHAT_TEMPLATE,
        padding_side="right",
        # Otherwise decoding would glue ``sure :`` into ``sure:``.
        clean_up_tokenization_spaces=False,
    )
