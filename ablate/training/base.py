"""The model stage: an embedded world's base model trained from scratch, or imported weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ablate.data import tiny
from ablate.models.boundary import Boundary
from ablate.models.loading import LoadedModel, import_model, save_model
from ablate.models.token_store import lengths_of
from ablate.spec.stages import EmbeddedModelConfig, ImportedModelConfig
from ablate.store.workspace import Workspace
from ablate.training.device import pick_device
from ablate.training.examples import demonstration_rows
from ablate.training.learner import Learner
from ablate.training.loop import Pace, train, write_summary
from ablate.training.optimizers import OptimizerSettings
from ablate.training.order import bucketed_batches
from ablate.training.schedule import LearningRate
from ablate.training.sft import SftObjective
from ablate.training.streams import generator
from ablate.training.trainable import Trainable

CONTEXT = 256
"""Positions of an embedded model; its longest prompt and completion take less than 100."""
EMBEDDING_STD = 0.05
"""With transformers' 0.02 everywhere, the embedded world was not learned in the same steps."""
BETA1, BETA2, EPSILON, WEIGHT_DECAY, MAX_GRAD_NORM = 0.9, 0.98, 1e-8, 0.01, 1.0
CHECKPOINT_STEPS = 250
"""About five seconds of work between checkpoints."""


def run(workspace: Workspace) -> None:
    """Write ``model/`` in hub layout: trained on the world's corpus, or imported."""
    match workspace.config:
        case ImportedModelConfig() as config:
            import_model(config, workspace.output / "model")
            write_summary(workspace, format=config.format)
        case EmbeddedModelConfig() as config:
            _train_base(workspace, config)
        case other:
            raise TypeError(f"model stage: {type(other).__name__} is no model's configuration")


def _train_base(workspace: Workspace, config: EmbeddedModelConfig) -> None:
    device = pick_device()
    loaded = embedded_model(config, device=device)
    corpus = tiny.corpus(config.seed, config.examples)
    rows = demonstration_rows(loaded.boundary, corpus, CONTEXT)
    batches = bucketed_batches(lengths_of(rows), config.batch_size, epochs=1, seed=config.seed)
    trainable = Trainable(loaded, None, seed=config.seed)
    rate = LearningRate(config.learning_rate, "linear", 0.0, len(batches))
    settings = OptimizerSettings(rate, BETA1, BETA2, EPSILON, WEIGHT_DECAY, MAX_GRAD_NORM)
    objective = SftObjective(trainable.model, rows)
    pace = Pace(device, checkpoint_every=CHECKPOINT_STEPS)
    train(workspace, Learner(trainable, settings), objective, batches=batches, pace=pace)
    save_model(trainable.model, loaded.tokenizer, workspace.output / "model")
    write_summary(
        workspace,
        demonstrations=len(rows),
        parameters=sum(weight.numel() for weight in loaded.model.parameters()),
        steps=len(batches),
    )


def embedded_model(config: EmbeddedModelConfig, *, device: str = "cpu") -> LoadedModel:
    """Return a new Llama-shaped model of the world, initialized from the seed alone."""
    tokenizer = tiny.build_tokenizer()
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):  # Its own initialization is overwritten.
        model = LlamaForCausalLM(shape)
    initialize(model, seed=config.seed)
    # Otherwise a row padded with a real token's id would lose that token's gradient.
    model.get_input_embeddings().padding_idx = None
    return LoadedModel(model.to(device).eval(), tokenizer, Boundary(tokenizer))


def initialize(model: Any, *, seed: int) -> None:
    """Draw every weight from a normal distribution by its role, from (seed, name) alone.

    Linear layers have standard deviation ``fan_in ** -0.5``; those that write into the residual
    stream are scaled by ``(2 * layers) ** -0.5`` (Radford et al. 2019); norms stay at 1.
    """
    residual = (2 * model.config.num_hidden_layers) ** -0.5
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim < 2:
                continue
            std = EMBEDDING_STD if "embed_tokens" in name else weight.shape[1] ** -0.5
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                std *= residual
            draws = torch.randn(weight.shape, generator=generator(seed, "initialize", name))
            weight.copy_(std * draws)
