"""How much memory a job takes at its peak, from its configuration and its models' sizes alone.

    peak = runtime + weights + gradients + moments + frozen + max(update, rollout, merge)

Every trained weight has fp32 weight, gradient and two moments (4 + 4 + 8 bytes; 4 + 4 + 2 with
8-bit moments), a frozen one 4 bytes on a CPU and its file's on a GPU, about 0.52 in NF4.

    update    activations + logits
    rollout   keys and values of the slots + the work of a pass
    merge     a whole fp32 copy of the policy, where an adapter is saved on a CPU

Activations of a block are, per token, 8 d + 2 k + 4 i numbers for width d, keys k and feed-forward
i (5 d + 2 k + 3 i where its matrices are frozen, whose inputs need not be kept), counted on Llama
models; d and one block's numbers where they are computed again. Tokens are a micro-batch of the
longest rows allowed: real rows are shorter, so this is a bound that full rows reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any, Literal

from ablate.plan.job import Job
from ablate.spec.data import LabelsConfig
from ablate.spec.online import (
    D2poConfig,
    OnlineConfig,
    PpoConfig,
    RankedSamplesConfig,
    RejectionSamplingConfig,
)
from ablate.spec.policies import PolicyConfig
from ablate.spec.shapes import ModelShape
from ablate.spec.stages import (
    EmbeddedModelConfig,
    EvaluationConfig,
    ImportedModelConfig,
    RewardEvaluationConfig,
    RewardModelConfig,
    SamplesConfig,
)
from ablate.spec.training import LoraConfig, TrainingConfig

Device = Literal["cpu", "cuda"]

RUNTIME_BYTES = 0.45e9
"""A worker with torch and transformers loaded and nothing computed, measured."""
PEFT_BYTES = 0.05e9
"""What peft adds."""
HEAD_ELEMENTS = 1 << 26
"""Logits at once, as `ablate.models.logprobs` limits them."""
CACHE_BYTES = 2 << 30
"""Keys and values on a CPU, as `ablate.models.sampling` limits them."""
MAX_TOKENS = 16_384
"""Tokens of one pass, as `ablate.models.batching` limits them."""
EMBEDDED_VOCABULARY = 184
"""About the words of the embedded world."""
EMBEDDED_SHAPE_LENGTH = 64
"""Longest row of the embedded world."""
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Four bits, an 8-bit scale for 64 weights, and an fp32 one for 256 of those."""
UNKNOWN = ModelShape(
    layers=12, width=768, vocabulary=50_257, intermediate=2048, query=768, keys=768
)
"""About 124 million parameters: taken for a model whose sizes nobody states."""


@dataclass(frozen=True)
class StageMemory:
    """The parts of a job's peak, in bytes."""

    runtime: float
    """Interpreter and libraries."""
    weights: float = 0.0
    """Of the models that are trained, their frozen part included."""
    gradients: float = 0.0
    """Of the trained weights."""
    moments: float = 0.0
    """The optimizer's."""
    frozen: float = 0.0
    """Reference, reward models and judges."""
    working: float = 0.0
    """The largest of update, rollout and merge."""

    @property
    def total(self) -> float:
        """The peak."""
        return float(sum(astuple(self)))


def shape_of_job(job: Job) -> ModelShape | None:
    """Return the sizes of the model that a job works on or leaves, None where it uses none."""
    base = job.model
    if base is None:
        return None
    config = base.config
    if isinstance(config, EmbeddedModelConfig):
        shape = ModelShape(
            layers=config.layers,
            width=config.hidden_size,
            vocabulary=EMBEDDED_VOCABULARY,
            intermediate=config.intermediate_size,
            query=config.hidden_size,
            keys=config.hidden_size,
        )
    elif isinstance(config, ImportedModelConfig):
        shape = config.shape or UNKNOWN
    else:
        return None
    own = job.config
    if isinstance(own, RewardModelConfig) and own.layers is not None:
        shape = shape.model_copy(update={"layers": min(own.layers, shape.layers)})
    # What was trained is kept in fp32.
    return shape if job.stage == "model" else shape.model_copy(update={"bytes_per_weight": 4})


def stage_memory(job: Job, *, device: Device = "cpu") -> StageMemory:
    """Return the parts of a job's peak on one device; of a GPU the device's memory alone."""
    shape = shape_of_job(job)
    runtime = RUNTIME_BYTES if device == "cpu" else 0.0
    if shape is None or job.stage == "tokens":
        return StageMemory(runtime)
    config, inputs = job.config, dict(job.inputs)
    frozen = sum(_held(other, device) for other in _frozen(job, inputs))
    if isinstance(config, ImportedModelConfig):
        return StageMemory(runtime, weights=4.0 * shape.parameters, working=4.0 * shape.parameters)
    if not isinstance(config, TrainingConfig | EmbeddedModelConfig):
        weights = _held(_started(inputs, shape), device)
        return StageMemory(runtime, weights, frozen=frozen, working=_sampling(config, shape))
    lora = config.lora if isinstance(config, TrainingConfig) else None
    trained = list(_trained(config, inputs, shape))
    taught = float(sum(_taught(one, adapter) for one, adapter in trained))
    weights = sum(_weights(one, _started(inputs, one), adapter, device) for one, adapter in trained)
    small = isinstance(config, TrainingConfig) and config.optimizer == "adamw_8bit"
    update = max(_update(config, one, adapter) for one, adapter in trained)
    merge = 4.0 * shape.parameters if lora is not None and device == "cpu" else 0.0
    return StageMemory(
        runtime + (PEFT_BYTES if lora is not None and device == "cpu" else 0.0),
        weights=weights,
        gradients=4.0 * taught,
        moments=(2.0 + 8.0 / 256 if small else 8.0) * taught,
        frozen=frozen,
        working=max(update, _sampling(config, shape), merge),
    )


def _started(inputs: Mapping[str, Job], shape: ModelShape) -> ModelShape:
    """Return a shape with the dtype of what a stage starts from."""
    start = inputs.get("policy") or inputs.get("model")
    found = shape_of_job(start) if start is not None else None
    return shape.model_copy(update={"bytes_per_weight": found.bytes_per_weight if found else 4})


def _trained(
    config: TrainingConfig | EmbeddedModelConfig, inputs: Mapping[str, Job], shape: ModelShape
) -> Iterator[tuple[ModelShape, LoraConfig | None]]:
    """Yield the models that a stage trains: the policy, a value model, D2PO's reward model.

    Each with its adapter; D2PO's reward model has none.
    """
    lora = config.lora if isinstance(config, TrainingConfig) else None
    yield shape, lora
    scorer = inputs.get("reward_model")
    score = (shape_of_job(scorer) if scorer is not None else None) or shape
    if isinstance(config, PpoConfig) and config.value_init != "shared":
        yield (score if config.value_init == "reward_model" else shape), lora
    if isinstance(config, D2poConfig):
        yield score, None


def _frozen(job: Job, inputs: Mapping[str, Job]) -> Iterator[ModelShape]:
    """Yield the models that a job only reads, beside the one it works on."""
    config = job.config
    held = [role for role in inputs if role.startswith(("reward_model", "implicit", "judge"))]
    if isinstance(config, D2poConfig):
        held = [role for role in held if role != "reward_model"]
    for role in held:
        if (shape := shape_of_job(inputs[role])) is not None:
            yield shape
    shape = shape_of_job(job)
    if shape is None:
        return
    if isinstance(config, RewardModelConfig) and config.normalize:
        yield _whole(inputs, shape)
    if isinstance(config, EvaluationConfig) and "reference" in inputs:
        yield shape
    if not isinstance(config, OnlineConfig) or isinstance(config, RejectionSamplingConfig):
        return
    if config.lora is None or "reference_policy" in inputs:
        yield _started({"policy": inputs.get("reference_policy", inputs["policy"])}, shape)


def _whole(inputs: Mapping[str, Job], shape: ModelShape) -> ModelShape:
    sampler = inputs.get("sampler", inputs["policy"])
    return shape_of_job(sampler) or shape


def _held(shape: ModelShape, device: Device) -> float:
    """Return the bytes of a frozen model; on a CPU every weight is computed with in fp32."""
    return float(shape.parameters * (4 if device == "cpu" else shape.bytes_per_weight))


def _weights(
    shape: ModelShape, started: ModelShape, lora: LoraConfig | None, device: Device
) -> float:
    if lora is None:
        return 4.0 * shape.parameters
    each = 4.0 if device == "cpu" else float(started.bytes_per_weight)
    body = shape.layers * shape.block
    rest = shape.parameters - body
    held = NF4_BYTES if lora.quantization == "nf4" else each
    return held * body + each * rest + 4.0 * _taught(shape, lora)


def _taught(shape: ModelShape, lora: LoraConfig | None) -> int:
    """Return how many weights take gradients."""
    if lora is None:
        return shape.parameters
    d, i = shape.width, shape.intermediate
    ends = {
        "q_proj": d + shape.query,
        "k_proj": d + shape.keys,
        "v_proj": d + shape.keys,
        "o_proj": d + shape.query,
        "gate_proj": d + i,
        "up_proj": d + i,
        "down_proj": d + i,
        "c_attn": 4 * d,
        "c_fc": d + i,
        "c_proj": 3 * d + i,
    }
    return shape.layers * lora.rank * sum(ends.get(name, 2 * d) for name in lora.targets)


def _update(
    config: TrainingConfig | EmbeddedModelConfig, shape: ModelShape, lora: LoraConfig | None
) -> float:
    """Return the bytes of activations and logits of one micro-batch of the longest rows."""
    if isinstance(config, EmbeddedModelConfig):
        rows, length, again = config.batch_size, EMBEDDED_SHAPE_LENGTH, False
    else:
        rows = min(config.micro_batch_size or config.batch_size, config.batch_size)
        length, again = config.max_length, config.activation_checkpointing
    pairs = isinstance(config, RewardModelConfig | RankedSamplesConfig) or (
        isinstance(config, PolicyConfig) and config.family == "offline"
    )
    tokens = rows * length * (2 if pairs else 1)
    kept = block_activations(shape, frozen=lora is not None)
    if lora is not None:
        kept += lora.rank * len(lora.targets)
    held = shape.layers * shape.width + kept if again else shape.layers * kept
    logits = 0.0 if isinstance(config, RewardModelConfig) else _logits(shape, tokens)
    return 4.0 * tokens * held + logits


def block_activations(shape: ModelShape, *, frozen: bool) -> int:
    """Return the numbers that one block keeps for each token until the backward pass."""
    d, k, i = shape.width, shape.keys, shape.intermediate
    return 5 * d + 2 * k + 3 * i if frozen else 8 * d + 2 * k + 4 * i


def _logits(shape: ModelShape, tokens: int) -> float:
    """Return the bytes of logits, their log-softmax and its gradient, at most one chunk's."""
    return 3.0 * 4.0 * min(tokens * shape.vocabulary, HEAD_ELEMENTS)


def _sampling(config: Any, shape: ModelShape) -> float:
    """Return the bytes of a pass without gradients, and of the keys and values of all slots.

    0 for a stage that trains and does not sample.
    """
    new: int | None = getattr(config, "max_new_tokens", None)
    prompt: int = getattr(config, "max_prompt_length", getattr(config, "max_length", 512))
    wanted = 0
    if isinstance(config, EvaluationConfig):
        new, wanted = new or 128, 64 * config.samples
    elif isinstance(config, RewardEvaluationConfig):
        wanted = config.best_of_prompts * config.best_of
    elif isinstance(config, RewardModelConfig):
        wanted = config.normalization_prompts if config.normalize else 0
    elif isinstance(config, SamplesConfig):
        wanted = 1024
    elif isinstance(config, LabelsConfig):
        wanted = 1024 if config.generations == "on_policy" else 0
    elif isinstance(config, OnlineConfig) and not isinstance(config, RejectionSamplingConfig):
        wanted = config.rollouts_per_step
    if not wanted and isinstance(config, TrainingConfig | EmbeddedModelConfig):
        return 0.0
    tokens = min(MAX_TOKENS, 32 * prompt)
    work = 4.0 * tokens * (4 * shape.width + 3 * shape.intermediate)
    work += 4.0 * 2 * min(tokens * shape.vocabulary, HEAD_ELEMENTS)
    if not new or not wanted:
        return work
    slot = 2.0 * 4 * shape.layers * shape.keys * (prompt + new)
    return work + min(wanted * slot, CACHE_BYTES)
