"""Models and tokenizers of toy size; everything is made here, nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from ablate.models.loading import LoadedModel, load_policy, save_model

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %} <user> {{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %} <reply>{% endif %}"
)
WORDS = ["<pad>", "<bos>", "<eos>", "<user>", "<reply>", "<turn>", "<unk>"]
WORDS += [f"w{number}" for number in range(57)]  # 64 words


@pytest.fixture
def tokenizer() -> Any:
    """A word tokenizer that puts a BOS before every plain text, as Llama's does."""
    ids = {word: index for index, word in enumerate(WORDS)}
    backend = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        chat_template=TEMPLATE,
    )


def llama(**changes: Any) -> Any:
    """Return a random Llama whose next-token distribution is far from flat."""
    settings: dict[str, Any] = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(LlamaConfig(**(settings | changes))).eval()


def gpt2() -> Any:
    """Return a random GPT-2: absolute positions, and dropout in its configuration."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = GPT2Config(
            vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.3,
            bos_token_id=1, eos_token_id=2,
        )  # fmt: skip
        return GPT2LMHeadModel(config).eval()


@pytest.fixture
def make_llama() -> Callable[..., Any]:
    return llama


@pytest.fixture
def make_gpt2() -> Callable[..., Any]:
    return gpt2


@pytest.fixture
def policy_folder(tmp_path: Path, tokenizer: Any) -> Path:
    """A saved policy, as the artifact of an SFT stage holds it."""
    folder = tmp_path / "policy"
    save_model(llama(), tokenizer, folder)
    return folder


@pytest.fixture
def policy(policy_folder: Path) -> LoadedModel:
    return load_policy(policy_folder)
