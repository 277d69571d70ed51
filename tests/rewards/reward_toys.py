"""Toy models for rewards: reward models with a head of ones, and policies without memory."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from ablate.models.loading import save_model

WORDS = ("<pad>", "<bos>", "<eos>", "a", "b", "c", "d")
TEMPLATE = "{{ bos_token }}{% for message in messages %} {{ message['content'] }}{% endfor %}"


def tokenizer_of(words: tuple[str, ...], *, pad: str = "<pad>") -> PreTrainedTokenizerFast:
    backend = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<pad>"))
    backend.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=pad, bos_token="<bos>", eos_token="<eos>",
        chat_template=TEMPLATE,
    )  # fmt: skip


def write_artifact(
    folder: Path, words: tuple[str, ...] = WORDS, *, gain: float = 1.0, pad: str = "<pad>"
) -> Path:
    """Write one reward model; ``words`` permutes its tokens together with its embedding."""
    tokenizer = tokenizer_of(words, pad=pad)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=8, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_labels=1, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = LlamaForSequenceClassification(config).eval()
    embedding = torch.randn(len(WORDS), 8)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(embedding[[WORDS.index(word) for word in words]])
        model.score.weight.copy_(torch.ones(1, 8))
    save_model(model, tokenizer, folder / "model")
    scale = {"gain": gain, "bias": -1.0, "raw_mean": None, "raw_std": None, "layers": 1}
    (folder / "reward.json").write_text(json.dumps(scale))
    return folder


def write_unigram(folder: Path, chances: Mapping[str, float]) -> Path:
    """Write a policy that says each word with the same chance after any text.

    Its blocks add nothing, every embedding is 1, and so is every normalized state: the logits are
    the rows of the head, summed, which are set to log-chances. Words without one never come.
    """
    rest = ("<pad>", "<bos>", "<eos>", "<unk>")
    words = (*rest, *(word for word in chances if word not in rest))
    backend = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>",
        unk_token="<unk>", chat_template=TEMPLATE,
    )  # fmt: skip
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=8, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        tie_word_embeddings=False, max_position_embeddings=64, rms_norm_eps=1e-12,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    logits = torch.tensor([math.log(chances.get(word, 1e-30)) for word in words])
    with torch.no_grad():
        model.model.embed_tokens.weight.fill_(1.0)
        model.model.layers[0].self_attn.o_proj.weight.zero_()
        model.model.layers[0].mlp.down_proj.weight.zero_()
        model.lm_head.weight.copy_(logits[:, None].expand(-1, 8) / 8)
    save_model(model, tokenizer, folder / "model")
    return folder
