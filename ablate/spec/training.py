"""What every stage that trains by gradient descent shares."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from ablate.spec.config import Config, added_later, not_identity

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = PositiveFloat
Schedule = Literal["constant", "linear", "cosine"]
Backend = Literal["native", "trl", "command"]


class LoraConfig(Config):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685), trained with peft."""

    rank: PositiveInt = 16
    """Rank of the update; at most the width of the layers it is added to."""
    alpha: Positive = 32.0
    """The update is scaled by alpha / rank."""
    dropout: Fraction = 0.0
    """Dropout on the adapter's input; 0 keeps old and new log-probabilities comparable."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Names of the linear layers that get an adapter."""
    quantization: Literal["nf4"] | None = added_later(None, neutral=None)
    """Hold the frozen weights of the body in 4 bits (QLoRA, arXiv:2305.14314). Needs the extra
    ``gpu``; works on a CPU, slowly. None keeps the dtype of the checkpoint on a GPU."""


class DivergenceConfig(Config):
    """When training whose numbers are still finite counts as diverged; its job then stops.

    There is no bound by default. What is far depends on the algorithm, and a run that is stopped
    for its numbers is missing from a comparison for a reason: the study has to say so beforehand.
    """

    metric: str
    """Step metric to watch, by its name in ``metrics.jsonl``, such as ``loss`` or ``kl``."""
    above: float
    """Value beyond which a step counts."""
    steps: PositiveInt = 10
    """Steps in a row beyond it that stop the job; our choice, for single steps are noisy."""


class TrainingConfig(Config):
    """What every gradient-descent stage shares."""

    learning_rate: Positive = 1e-6
    """Peak learning rate."""
    schedule: Schedule = "linear"
    """Shape of the decay to 0 after the warm-up; ``constant`` does not decay."""
    warmup_fraction: Fraction = 0.1
    """Share of the steps over which the rate rises linearly from 0."""
    adam_beta1: Fraction = 0.9
    """First-moment decay of AdamW."""
    adam_beta2: Fraction = 0.95
    """Second-moment decay of AdamW."""
    adam_epsilon: Positive = 1e-8
    """Added to the root of the second moment; torch's placement, not TensorFlow's."""
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled weight decay."""
    optimizer: Literal["adamw", "adamw_8bit"] = added_later("adamw", neutral="adamw")
    """``adamw_8bit`` holds the moments in 8 bits (arXiv:2110.02861); it needs the extra ``gpu``."""
    max_grad_norm: Positive = 1.0
    """Gradients are clipped to this global norm."""
    batch_size: PositiveInt = 32
    """Examples (pairs for pairwise losses) per optimizer step."""
    divergence: DivergenceConfig | None = added_later(None, neutral=None)
    """Bound beyond which the job stops for good and its record is kept; a loss or gradient that is
    not finite always stops it. None sets no other bound. For the backend ``native``."""
    epochs: PositiveInt = 1
    """Passes over the data."""
    max_length: PositiveInt = 4096
    """Longest prompt + completion in tokens. One rule for every algorithm: longer ones are dropped
    and counted."""
    lora: LoraConfig | None = None
    """Adapters instead of all weights; None trains all weights."""
    seed: NonNegativeInt = 0
    """Seed of initialization and data order."""
    backend: Backend = added_later("native", neutral="native")
    """What trains: this library, TRL, or a command of your own. Comparisons that mix backends are
    flagged in the report."""
    command: tuple[str, ...] = added_later((), neutral=())
    """Program and arguments of the backend ``command``, which no shell reads. ``{job}`` stands for
    the path of ``job.json``, ``{output}`` for the folder to write in, ``{python}`` for this
    interpreter; files are relative to the study's folder."""
    command_content: str | None = added_later(None, neutral=None)
    """Hash of the local files that ``command`` names, filled in by the loader."""
    command_location: str = not_identity("")
    """Folder that the files in ``command`` are relative to on this machine."""
    command_timeout_seconds: PositiveFloat | None = not_identity(None)
    """A command that runs longer is killed, and its job fails; None waits for ever."""
    micro_batch_size: PositiveInt | None = not_identity(None)
    """Examples per forward pass; None takes the whole batch. Changes rounding, not the update."""
    activation_checkpointing: bool = not_identity(False)
    """Compute activations again in the backward pass instead of keeping them: less memory, about a
    third more time, the same update."""
    checkpoint_every_steps: PositiveInt = not_identity(50)
    """Optimizer steps between checkpoints."""
