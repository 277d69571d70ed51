"""How much memory a model's weights take by dtype, and its training by algorithm.

What `ablate.plan.memory` says of jobs that are put together here, so the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ablate.plan.job import Job
from ablate.plan.memory import NF4_BYTES, Device, stage_memory
from ablate.spec.config import Config
from ablate.spec.offline import DpoConfig
from ablate.spec.online import PpoConfig
from ablate.spec.shapes import ModelShape
from ablate.spec.stages import ImportedModelConfig, PreferencesConfig, RewardModelConfig, SftConfig
from ablate.spec.training import LoraConfig

Dtype = Literal["fp32", "bf16", "int8", "nf4"]
Form = Literal["full", "lora", "qlora"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
FORMS: tuple[Form, ...] = get_args(Form)
ROW_TOKENS = 2048
"""Longest row that training is reckoned for, prompt and completion together."""
LORA_RANK = 16
_LORA = LoraConfig(rank=LORA_RANK)
_ADAPTERS: dict[Form, LoraConfig | None] = {
    "full": None,
    "lora": _LORA,
    "qlora": _LORA.model_copy(update={"quantization": "nf4"}),
}


@dataclass(frozen=True)
class TrainingMemory:
    """The peak of training one model with one algorithm, in bytes."""

    stage: str
    """Algorithm, or the stage before it: ``sft``, ``reward_model``, ``dpo``, ``ppo``."""
    full: float
    """All weights are trained."""
    lora: float
    """Adapters of rank 16 over weights in the file's dtype."""
    qlora: float
    """The same over the body's weights in 4 bits."""


def weight_bytes(shape: ModelShape, dtype: Dtype) -> float:
    """Return the bytes of a model's weights as they lie in memory to be read.

    int8 (arXiv:2208.07339) and nf4 (arXiv:2305.14314) hold the blocks' matrices in 8 and 4 bits
    with their scales; embeddings and head stay in bf16.
    """
    if dtype in ("fp32", "bf16"):
        return shape.parameters * (4.0 if dtype == "fp32" else 2.0)
    body = shape.layers * shape.block
    rest = 2.0 * (shape.parameters - body)
    if dtype == "nf4":
        return NF4_BYTES * body + rest
    # A scale for each row of a matrix: queries, keys, values, the two outputs, the inner layer.
    inner = (2 if shape.gated else 1) * shape.intermediate
    rows = shape.query + 2 * shape.keys + 2 * shape.width + inner
    return body + 4.0 * shape.layers * rows + rest


def training_memory(shape: ModelShape, *, device: Device = "cuda") -> tuple[TrainingMemory, ...]:
    """Return the peaks of SFT, a reward model of full depth, DPO and PPO.

    One example at a time with its activations computed again, AdamW with fp32 moments, rows of
    `ROW_TOKENS`; PPO with a value model and a reward model of the policy's own size.
    """
    found: dict[str, dict[str, float]] = {}
    for form in FORMS:
        for stage, job in _jobs(shape, form):
            found.setdefault(stage, {})[form] = stage_memory(job, device=device).total
    return tuple(TrainingMemory(stage, **peaks) for stage, peaks in found.items())


def _jobs(shape: ModelShape, form: Form) -> Iterator[tuple[str, Job]]:
    """Yield the jobs that train a model in one form, by name."""
    common: dict[str, Any] = {
        "max_length": ROW_TOKENS,
        "micro_batch_size": 1,
        "activation_checkpointing": True,
        "lora": _ADAPTERS[form],
    }
    half = ROW_TOKENS // 2
    model = Job("model", ImportedModelConfig(format="hf", content="", shape=shape))
    pairs = Job("preferences", PreferencesConfig(dataset=""))
    sft = Job("sft", SftConfig(**common), (("model", model),))
    yield "sft", sft
    # What starts from an imported SFT model holds frozen weights in the file's dtype.
    start: tuple[tuple[str, Job], ...] = (("policy", model), ("preferences", pairs))
    reward = Job("reward_model", RewardModelConfig(max_new_tokens=half, **common), start)
    yield "reward_model", reward
    yield "dpo", Job("policy", DpoConfig(**common), start)
    ppo: Config = PpoConfig(max_prompt_length=half, max_new_tokens=half, **common)
    yield "ppo", Job("policy", ppo, (*start, ("reward_model", reward)))
