from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ablate.data import tiny
from ablate.models.loading import save_model
from ablate.spec.config import Config
from ablate.store.workspace import Workspace

Stage = Callable[[str, Config, Mapping[str, Path]], Workspace]


def write_policy(folder: Path, *, seed: int) -> Path:
    """Write an untrained policy artifact; its weights are wide enough for it to have opinions."""
    tokenizer = tiny.build_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    save_model(model, tokenizer, folder / "model")
    return folder
