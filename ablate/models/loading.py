"""Models on disk and in memory.

What is loaded here is ready to compare: dropout off, and every tensor copied into fresh memory,
because the bits of a matrix product depend on the address of its weights. Weights are fp32 on a
CPU; on a GPU they have their file's dtype, which may be bf16 where it was imported, until they are
trained.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
)
from transformers.utils import GENERATION_CONFIG_NAME
from transformers.utils import logging as transformers_logging

from ablate.errors import SurroundingsError
from ablate.models.backbone import body, refuse_unsupported, score_head, unwrapped
from ablate.models.boundary import Boundary
from ablate.models.gguf import load_gguf, locate
from ablate.models.lora import merged
from ablate.models.sharding import collected, first_place
from ablate.spec.registry import model_named
from ablate.spec.stages import ImportedModelConfig

NO_CODE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""For what is on disk. False, and not the default: on a terminal that asks whether to run code."""
LONG_WINDOW = 4096
"""Attention windows from this length on are longer than the rows that models are trained on."""


@dataclass(frozen=True)
class LoadedModel:
    """A model with what turns text into its token ids."""

    model: Any
    """Hugging Face model in eval mode."""
    tokenizer: Any
    """Its tokenizer, with a chat template."""
    boundary: Boundary
    """Where prompts end and completions start."""


def load_policy(folder: Path, *, device: str = "cpu") -> LoadedModel:
    """Return the causal language model of an artifact's ``model/`` folder."""
    return _load(AutoModelForCausalLM, folder, device)


def load_boundary(folder: Path) -> Boundary:
    """Return where the tokenizer of a model's folder cuts; the weights are not read."""
    listed = None
    if (folder / GENERATION_CONFIG_NAME).exists():
        listed = GenerationConfig.from_pretrained(folder).eos_token_id
    return Boundary(_tokenizer(folder), _listed_ids(listed))


def load_reward_model(folder: Path, *, device: str = "cpu") -> LoadedModel:
    """Return the scalar-head model of a reward model's ``model/`` folder."""
    return _load(AutoModelForSequenceClassification, folder, device)


def new_reward_model(
    policy_folder: Path,
    *,
    layers: int | None,
    seed: int,
    outputs: int = 1,
    device: str = "cpu",
) -> LoadedModel:
    """Return a policy's body under a new head of ``outputs`` scalars, or its first blocks only.

    The head's weights are drawn from N(0, 1/(d+1)), as Huang et al. 2024 (arXiv:2403.17031,
    section 4) report of the original code; it has no bias.
    """
    policy = load_policy(policy_folder)
    config = copy.deepcopy(policy.model.config)
    depth = config.num_hidden_layers
    kept = depth if layers is None else layers
    if not 1 <= kept <= depth:
        raise SurroundingsError(
            f"reward_model.layers: {kept}; the policy has {depth} blocks. Choose 1 to {depth}."
        )
    config.num_hidden_layers = kept
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:kept]
    config.num_labels = outputs
    with torch.random.fork_rng(devices=[]):  # Its default initialization is overwritten below.
        model = AutoModelForSequenceClassification.from_config(config)
    weights = body(policy.model).state_dict()
    body(model).load_state_dict({name: weights[name] for name in body(model).state_dict()})
    initialize_head(model, seed=seed)
    return LoadedModel(_prepared(model, device), policy.tokenizer, policy.boundary)


def initialize_head(model: nn.Module, *, seed: int) -> None:
    """Draw the score head's weights from N(0, 1/(d+1)) with a generator of its own."""
    weight = score_head(model).weight
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(weight.shape, generator=generator) / (weight.shape[1] + 1) ** 0.5
    with torch.no_grad():
        weight.copy_(draws)


def save_model(model: nn.Module, tokenizer: Any, folder: Path) -> None:
    """Write a model with its tokenizer in hub layout, adapters merged, the same bytes every time.

    ``generation_config.json`` names every end token and nothing that changes probabilities.
    """
    whole = collected(model)
    if whole is None:  # Rank 0 writes.
        return
    plain: Any = merged(whole)
    plain.config._name_or_path = ""
    if plain.can_generate():
        plain.generation_config = GenerationConfig(
            eos_token_id=sorted(_end_ids(plain, tokenizer)),
            bos_token_id=tokenizer.bos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    for name in ("is_local", "local_files_only", "name_or_path"):  # How this one was loaded.
        tokenizer.init_kwargs.pop(name, None)
    # Left to itself transformers writes on rank 0 alone; what is whole on every rank, such as a new
    # reward model, is read again by each from its own folder.
    plain.should_save_on_this_rank = _always
    with _quiet():
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def import_model(config: ImportedModelConfig, folder: Path) -> None:
    """Write weights that exist already as a normalized folder: safetensors, chat template.

    fp32, or the dtype that the model states where that holds every weight exactly. Code that comes
    with a hub model is never run.
    """
    with _quiet():
        if config.format == "gguf":
            model, tokenizer = load_gguf(locate(config.location))
        else:
            model, tokenizer = _load_hub_layout(config)
    if config.chat_template is not None:
        tokenizer.chat_template = config.chat_template
    refuse_unsupported(model.config, "model")
    Boundary(tokenizer)  # Says what is missing now, not in a later job.
    save_model(model, tokenizer, folder)


def _load_hub_layout(config: ImportedModelConfig) -> tuple[Any, Any]:
    """Return model and tokenizer of a local folder, or of ``hub:<id>@<revision>``."""
    name, revision = config.location, None
    if not name and config.content.startswith("hub:"):
        name, _, revision = config.content.removeprefix("hub:").partition("@")
    # False, and not the default: on a terminal that asks whether to run the model's own code.
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
        settings = _without_window(AutoConfig.from_pretrained(name, **options))
        model = AutoModelForCausalLM.from_pretrained(
            name, config=settings, dtype=torch.float32, weights_only=True, **options
        )
    except (OSError, ValueError, pickle.UnpicklingError) as error:
        entry = model_named(f"{name}@{revision}")
        terms = entry.hub.terms if entry is not None and entry.hub is not None else ""
        raise SurroundingsError(
            f"model: {name!r} cannot be loaded as a causal language model: {why_refused(error)}. "
            f"Give a folder in hub layout, or a hub id while there is a network.{terms}"
        ) from error
    return _compact(model, settings.dtype), tokenizer


def _without_window(config: Any) -> Any:
    """Return a configuration whose long attention window is its context, as in Mistral 7B v0.1.

    Rows no longer than the window see all of themselves either way. Longer ones are refused where
    text is sampled, and where a loss is taken they see more than the original would.
    """
    window = getattr(config, "sliding_window", None)
    if not getattr(config, "layer_types", None) and window is not None and window >= LONG_WINDOW:
        config.max_position_embeddings = min(config.max_position_embeddings, window)
        config.sliding_window = None
    return config


def _compact(model: Any, stated: Any) -> Any:
    """Return an fp32 model in the smaller dtype that it states, if no weight changes by that."""
    if stated not in (torch.bfloat16, torch.float16):
        return model
    exact = all(torch.equal(weight.to(stated).float(), weight) for weight in model.parameters())
    return model.to(stated) if exact else model


def _load(auto_class: Any, folder: Path, device: str) -> LoadedModel:
    if not (folder / "config.json").is_file():
        raise SurroundingsError(
            f"model: {str(folder)!r} holds no config.json; a folder in hub layout is needed. "
            "Give the artifact's model folder."
        )
    config = _config(folder)
    for name, value in config.to_dict().items():
        if "drop" in name and isinstance(value, float):
            setattr(config, name, 0.0)
    refuse_unsupported(config, str(folder))
    tokenizer = _tokenizer(folder)
    with _quiet():
        # The file's dtype only on a GPU: bf16 is a hundred times slower on most CPUs.
        dtype = torch.float32 if first_place(device) == "cpu" else "auto"
        try:
            model = auto_class.from_pretrained(
                folder, config=config, dtype=dtype, weights_only=True, **NO_CODE
            )
        except pickle.UnpicklingError as error:
            raise _unreadable(folder, error) from error
    boundary = Boundary(tokenizer, _end_ids(model, tokenizer))
    return LoadedModel(_prepared(model, device), tokenizer, boundary)


def _config(folder: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(folder, **NO_CODE)
    except ValueError as error:
        raise _unreadable(folder, error) from error


def _tokenizer(folder: Path) -> Any:
    with _quiet():
        try:
            return AutoTokenizer.from_pretrained(folder, **NO_CODE)
        except ValueError as error:
            raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: Exception) -> SurroundingsError:
    needed = "Give a folder that save_pretrained wrote, of an architecture that transformers has."
    return SurroundingsError(
        f"model: {str(folder)!r} cannot be loaded: {why_refused(error)}. {needed}"
    )


def why_refused(error: Exception) -> str:
    """Return what is wrong with a model's files, without the library's advice to trust them."""
    if isinstance(error, pickle.UnpicklingError):
        return "its weights are a pickle that holds more than tensors, which is never opened"
    text = " ".join(str(error).split()).rstrip(".")
    if "custom code" in text:
        return "it brings code of its own, which is never run"
    return text[:400]


def _prepared(model: Any, device: str) -> Any:
    """Return the model in eval mode on the device, every tensor in fresh memory."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
    if hasattr(model, "score"):
        model.score.float()  # A bf16 score has 8 bits: close replies would tie.
    # A padding index stops the gradient of its embedding, also where the end token has that id.
    model.get_input_embeddings().padding_idx = None
    return model.to(first_place(device)).eval()


def _end_ids(model: Any, tokenizer: Any) -> set[int]:
    """Return the end tokens of the tokenizer and of the generation configuration."""
    settings = getattr(unwrapped(model), "generation_config", None)
    return _listed_ids(getattr(settings, "eos_token_id", None)) | _listed_ids(
        tokenizer.eos_token_id
    )


def _listed_ids(said: Any) -> set[int]:
    """Return the token ids of one, several, or none."""
    listed = said if isinstance(said, list) else [said]
    return {int(token) for token in listed if token is not None}


def _always(is_main_process: bool) -> bool:
    return True


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the progress bars and load reports of transformers out of a job's log."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
