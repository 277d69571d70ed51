from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ablate.errors import SurroundingsError
from ablate.models.boundary import Boundary

HELLO = [{"role": "user", "content": "w1 w2"}]


def test_a_prompt_is_tokenized_once_and_has_one_bos(tokenizer: Any) -> None:
    text = tokenizer.apply_chat_template(HELLO, tokenize=False, add_generation_prompt=True)
    assert tokenizer(text)["input_ids"] == [1, 1, 3, 8, 9, 4]  # the trap: two BOS
    assert Boundary(tokenizer).prompt_ids(HELLO) == (1, 3, 8, 9, 4)


def test_a_completion_is_its_text_and_one_end_token_without_bos(tokenizer: Any) -> None:
    assert Boundary(tokenizer).completion_ids("w3 w4") == (10, 11, 2)


def test_text_gives_back_what_was_tokenized(tokenizer: Any) -> None:
    boundary = Boundary(tokenizer, end_ids=[5])
    assert boundary.text(boundary.completion_ids("w3 w4")) == "w3 w4"
    assert boundary.text((10, 5)) == "w3"  # ended by the other end token
    assert boundary.text((10, 11)) == "w3 w4"  # cut, so no end token to take off
    assert boundary.text(()) == ""


def test_special_tokens_inside_a_reply_stay_visible(tokenizer: Any) -> None:
    assert Boundary(tokenizer).text((10, 0, 11, 2)) == "w3 <pad> w4"


def test_the_spelling_of_an_end_token_does_not_end_a_reply() -> None:
    letters = {letter: index for index, letter in enumerate("<eos>ab ")}
    backend = Tokenizer(models.WordLevel(letters | {"?": 8}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<eos>", unk_token="?", chat_template="x"
    )
    boundary = Boundary(tokenizer)
    ids = boundary.completion_ids("a<eos>b")
    assert ids.count(boundary.end_id) == 1 and ids[-1] == boundary.end_id
    assert len(ids) == len("a<eos>b") + 1


def test_no_merge_crosses_the_seam_between_prompt_and_completion() -> None:
    vocabulary = {"a": 0, "b": 1, "ab": 2, "<eos>": 3}
    backend = Tokenizer(models.BPE(vocabulary, [("a", "b")]))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<eos>", chat_template="{{messages[0]['content']}}"
    )
    boundary = Boundary(tokenizer)
    prompt = boundary.prompt_ids([{"role": "user", "content": "ba"}])
    assert tokenizer("bab")["input_ids"] == [1, 2]  # the trap: the prompt is no prefix of this
    assert (*prompt, *boundary.completion_ids("b")) == (1, 0, 1, 3)


def test_every_end_token_of_both_sources_counts(tokenizer: Any) -> None:
    assert Boundary(tokenizer, end_ids=[5]).end_ids == {2, 5}


def test_padding_with_the_end_token_leaves_both_their_meaning(tokenizer: Any) -> None:
    tokenizer.pad_token = "<eos>"
    boundary = Boundary(tokenizer)
    assert boundary.pad_id == boundary.end_id == 2
    assert boundary.completion_ids("w3")[-1] == 2


def test_a_tokenizer_without_pad_token_pads_with_the_end_token(tokenizer: Any) -> None:
    tokenizer.pad_token = None
    assert Boundary(tokenizer).pad_id == 2


@pytest.mark.parametrize(("missing", "message"), [("eos_token", "end"), ("chat_template", "chat")])
def test_a_tokenizer_that_cannot_chat_or_end_is_refused(
    tokenizer: Any, missing: str, message: str
) -> None:
    setattr(tokenizer, missing, None)
    with pytest.raises(SurroundingsError, match=f"it has no {message}"):
        Boundary(tokenizer)


def test_the_prompt_key_is_a_63_bit_hash_of_the_ids(tokenizer: Any) -> None:
    # Eight little-endian bytes an id, BLAKE2b of 8 bytes, without its lowest bit.
    digest = hashlib.blake2b(struct.pack("<3q", 1, 3, 8), digest_size=8).digest()
    key = Boundary(tokenizer).prompt_key((1, 3, 8))
    assert key == struct.unpack("<Q", digest)[0] // 2 < 2**63
    assert key != Boundary(tokenizer).prompt_key((3, 1, 8))
