"""Take weights that were trained elsewhere as if a job had trained them here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from ablate.errors import SurroundingsError
from ablate.models.backbone import refuse_unsupported
from ablate.models.boundary import Boundary
from ablate.models.loading import load_boundary, save_model, why_refused

SIZES = (
    *("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "intermediate_size", "vocab_size"),
)
"""What of a model's configuration its weights' shapes follow from."""


def adopt_model(source: Path, target: Path, *, base: Path) -> None:
    """Write the model in ``source`` to ``target`` as a job would have left it.

    ``base`` is the model that the job starts from: architecture, tokenizer and chat template must
    be the same, or the rest of a study would compare what cannot be compared. Weights are read
    from safetensors, or from a ``.bin`` file that holds tensors and nothing else, and written as
    safetensors; code that comes with them is never run. Raises SurroundingsError where anything
    does not fit.
    """
    _check_folder(source)
    transformers_logging.disable_progress_bar()
    tokenizer = _loaded(source, AutoTokenizer, "tokenizer")
    ours = load_boundary(base)
    if not tokenizer.chat_template:
        tokenizer.chat_template = ours.tokenizer.chat_template
    if Boundary(tokenizer).identity() != Boundary(ours.tokenizer).identity():
        raise _refused(
            source,
            "its tokenizer, special tokens or chat template differ from the base model's",
            "Adopt a model that was trained from the study's base model, with its tokenizer.",
        )
    model, info = _loaded(
        source,
        AutoModelForCausalLM,
        "model",
        dtype="auto",
        output_loading_info=True,
        weights_only=True,
    )
    _check_weights(source, model, info, base=base)
    save_model(model.eval(), ours.tokenizer, target)


def _check_folder(source: Path) -> None:
    names = sorted(path.name for path in source.iterdir()) if source.is_dir() else []
    if "adapter_config.json" in names and "config.json" not in names:
        raise _refused(source, "an adapter without its model", "Merge it first (merge_and_unload).")
    if "config.json" not in names:
        needed = "Give a folder in hub layout, as save_pretrained writes it."
        raise _refused(source, "it holds no config.json", needed)
    for path in source.iterdir():
        if path.is_symlink() and not path.exists():
            raise _refused(source, f"{path.name} is a link to nothing", "Fetch the file it names.")


def _loaded(source: Path, kind: Any, what: str, **options: Any) -> Any:
    try:
        return kind.from_pretrained(
            source, local_files_only=True, trust_remote_code=False, **options
        )
    except Exception as error:  # Whatever transformers says of a file that others wrote.
        needed = "Save it anew with save_pretrained."
        found = f"its {what} cannot be loaded ({why_refused(error)})"
        raise _refused(source, found, needed) from error


def _check_weights(source: Path, model: Any, info: dict[str, Any], *, base: Path) -> None:
    refuse_unsupported(model.config, str(source))
    for kind in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if found := sorted(map(str, info.get(kind) or ())):
            text = f"{len(found)} {kind.replace('_', ' ')}, {found[0]} among them"
            needed = "Every weight of the architecture is needed, and no other."
            raise _refused(source, text, needed)
    ours = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    for name in SIZES:
        theirs, expected = getattr(model.config, name, None), getattr(ours, name, None)
        if theirs != expected:
            text = f"{name} is {theirs!r}, and the base model's {expected!r}"
            raise _refused(source, text, "Adopt a model that was trained from the base model.")
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise _refused(source, f"weight {name} is not finite", "Adopt another checkpoint.")


def _refused(source: Path, found: str, needed: str) -> SurroundingsError:
    return SurroundingsError(f"adopt: {str(source)!r}: {found}. {needed}")
