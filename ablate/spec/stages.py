"""The configuration of every stage: its fields are the study file's fields.

One class a stage (one a choice where a stage has several). Presets fill the values that a study
leaves out; the defaults here are those of Ivison et al. 2024 (arXiv:2406.09279) as released in
EasyLM@dbf2212, unless a field says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from ablate.spec.config import Config, not_identity

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = PositiveFloat
Schedule = Literal["constant", "linear", "cosine"]
Stage = Literal[
    "model",
    "sft",
    "preferences",
    "reference",
    "reward_model",
    "policy",
    "evaluation",
    "reward_evaluation",
]


class LoraConfig(Config):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685), trained with peft."""

    rank: PositiveInt = 16
    """Rank of the update."""
    alpha: Positive = 32.0
    """The update is scaled by alpha / rank."""
    dropout: Fraction = 0.0
    """Dropout on the adapter's input; 0 keeps old and new log-probabilities comparable."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Names of the linear layers that get an adapter."""


class EmbeddedModelConfig(Config):
    """The base model of an embedded world, trained from scratch on the world's own corpus."""

    kind: Literal["embedded"] = "embedded"
    """Tells this class from the others."""
    world: Literal["tiny-instruct"] = "tiny-instruct"
    """Which generated world."""
    hidden_size: PositiveInt = 64
    """Width of the residual stream."""
    layers: PositiveInt = 3
    """Transformer blocks."""
    heads: PositiveInt = 4
    """Attention heads."""
    intermediate_size: PositiveInt = 192
    """Width of the SwiGLU layer."""
    examples: PositiveInt = 24_000
    """Sequences of the base corpus, each seen once."""
    batch_size: PositiveInt = 16
    """Sequences per optimizer step."""
    learning_rate: Positive = 3e-3
    """Peak learning rate, decayed linearly to 0."""
    seed: NonNegativeInt = 0
    """Seed of initialization, corpus and order."""


class ImportedModelConfig(Config):
    """Weights that exist already: a local folder in hub layout, a GGUF file, or a hub id."""

    kind: Literal["imported"] = "imported"
    """Tells this class from the others."""
    format: Literal["hf", "gguf"]
    """How the weights are stored."""
    content: str
    """SHA-256 of the files, or ``hub:<id>@<revision>`` for a hub model."""
    chat_template: str | None = None
    """Chat template that replaces the tokenizer's own; None keeps it."""
    location: str = not_identity("")
    """Where this machine has the files."""
    seed: NonNegativeInt = 0
    """Unused: importing draws nothing. Kept so that every stage takes a seed."""


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
    max_grad_norm: Positive = 1.0
    """Gradients are clipped to this global norm."""
    batch_size: PositiveInt = 32
    """Examples (pairs for DPO and reward models) per optimizer step."""
    epochs: PositiveInt = 1
    """Passes over the data."""
    max_length: PositiveInt = 4096
    """Longest prompt + completion in tokens. One rule for every algorithm: longer ones are dropped
    and counted."""
    lora: LoraConfig | None = None
    """Adapters instead of all weights; None trains all weights."""
    seed: NonNegativeInt = 0
    """Seed of initialization and data order."""
    micro_batch_size: PositiveInt | None = not_identity(None)
    """Examples per forward pass; None takes the whole batch. Changes rounding, not the update."""
    checkpoint_every_steps: PositiveInt = not_identity(50)
    """Optimizer steps between checkpoints."""


class SftConfig(TrainingConfig):
    """Supervised fine-tuning on demonstrations: NLL on completion tokens only."""

    learning_rate: Positive = 2e-5
    """Peak learning rate."""
    dataset: str = "tulu-v2-mix"
    """Demonstrations, by registry name or file."""
    content: str | None = None
    """Hash of the file behind ``dataset``, filled in by the loader."""
    examples: PositiveInt | None = None
    """Seeded subsample of this size; None takes all."""
    epochs: PositiveInt = 2
    """Passes over the data."""
    batch_size: PositiveInt = 128
    """Demonstrations per optimizer step."""
    warmup_fraction: Fraction = 0.03
    """Share of the steps over which the rate rises."""
    location: str = not_identity("")
    """Where this machine has the file behind ``dataset``."""


class PreferencesConfig(Config):
    """A preference data set, converted, filtered and split: pairs of a prompt's two replies."""

    dataset: str
    """Registry name or file."""
    content: str | None = None
    """Hash of the local file behind ``dataset``; None for generated data."""
    examples: PositiveInt | None = None
    """Seeded subsample of this size, so that data sets can be size-matched; None takes all."""
    seed: NonNegativeInt = 0
    """Seed of generation and subsampling."""
    location: str = not_identity("")
    """Where this machine has the file."""


class ReferenceConfig(Config):
    """Summed completion log-probabilities of every pair under the frozen reference."""

    temperature: Positive = 1.0
    """Logits are divided by this."""
    max_length: PositiveInt = 4096
    """The policy's rule for over-long examples, so that rows line up."""
    seed: NonNegativeInt = 0
    """Unused: nothing is drawn."""


class RewardModelConfig(TrainingConfig):
    """Bradley-Terry reward model (Ouyang et al. 2022, equation 1), a scalar head on the last token.

    Initialized from the SFT model; the head from N(0, 1/(d+1)) (Huang et al. 2024).
    """

    learning_rate: Positive = 1e-5
    """Peak learning rate."""
    batch_size: PositiveInt = 512
    """Pairs per optimizer step."""
    warmup_fraction: Fraction = 0.03
    """Share of the steps over which the rate rises."""
    size: str = "full"
    """Name of a size in the model's registry entry; ``full`` keeps every layer."""
    layers: PositiveInt | None = None
    """Blocks kept from the bottom of the SFT model; filled in from ``size``. None keeps all."""
    centering_coef: NonNegativeFloat = 0.0
    """Weight of the squared sum of a pair's scores, which centres them (arXiv:2312.09244: 0.01)."""
    margin: NonNegativeFloat = 0.0
    """Constant margin inside the sigmoid (Llama 2, arXiv:2307.09288, equation 2)."""
    normalize: bool = False
    """Standardize the score on reference samples of training prompts before RL. The paper does
    not; an RM-size ablation needs it, or the effective KL coefficient moves with the size."""
    normalization_prompts: PositiveInt = 256
    """Prompts whose reference samples set the gain and bias."""
    max_new_tokens: PositiveInt = 1024
    """Longest sampled completion for normalization."""


class PolicyConfig(TrainingConfig):
    """What every policy stage shares; the reference is the SFT model, frozen."""


class DpoConfig(PolicyConfig):
    """Direct preference optimization (Rafailov et al. 2023, arXiv:2305.18290)."""

    algorithm: Literal["dpo"] = "dpo"
    """Tells this class from the others."""
    learning_rate: Positive = 5e-7
    """Peak learning rate."""
    epochs: PositiveInt = 3
    """Passes over the pairs."""
    beta: Positive = 0.1
    """Strength of the implicit KL to the reference. Two notes on the paper's second version say
    0.01; the released code says 0.1."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    """Probability that a label is flipped (conservative DPO); 0 is plain DPO."""


class PpoConfig(PolicyConfig):
    """Proximal policy optimization with a separate value model (Schulman et al. 2017; Ivison 2024).

    ``batch_size`` is the minibatch; ``epochs`` counts passes over the prompts when ``steps`` is
    None.
    """

    algorithm: Literal["ppo"] = "ppo"
    """Tells this class from the others."""
    learning_rate: Positive = 1e-6
    """Peak learning rate of the policy."""
    schedule: Schedule = "constant"
    """Decay after the warm-up."""
    batch_size: PositiveInt = 64
    """Rollouts per optimizer step (minibatch)."""
    prompts: str = "dataset"
    """Prompt set; ``dataset`` takes the prompts of the cell's preference data."""
    prompts_content: str | None = None
    """Hash of the file behind ``prompts``; None for generated prompts."""
    prompts_examples: PositiveInt | None = None
    """Seeded subsample of the prompt set; None takes all."""
    steps: PositiveInt | None = None
    """Rollout batches; None makes ``epochs`` passes over the prompts."""
    rollouts_per_step: PositiveInt = 512
    """Prompts sampled in one step, one completion each."""
    ppo_epochs: PositiveInt = 1
    """Passes over each rollout batch."""
    max_new_tokens: PositiveInt = 1024
    """Longest completion."""
    max_prompt_length: PositiveInt = 1024
    """Longer prompts are dropped and counted."""
    temperature: Positive = 0.7
    """Sampling temperature."""
    logprob_temperature: PositiveFloat | None = None
    """Logits are divided by this in old, new and reference log-probabilities; None takes the
    sampling temperature. The paper's code uses 1.0."""
    kl_coef: NonNegativeFloat = 0.05
    """Weight of the KL penalty in the per-token reward."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    """Per-token estimator inside the reward (Schulman 2020): k1 is log pi - log pi_ref."""
    kl_target: PositiveFloat | None = None
    """Target of the adaptive controller in nats per sequence (Ziegler et al. 2019); None keeps the
    coefficient fixed."""
    kl_horizon: PositiveInt = 10_000
    """Horizon of the adaptive controller in rollouts."""
    gamma: Fraction = 1.0
    """Discount."""
    gae_lambda: Fraction = 0.95
    """Lambda of generalized advantage estimation."""
    clip_ratio: Positive = 0.2
    """Policy ratio clip."""
    value_clip: PositiveFloat | None = 0.2
    """Value clip around the old value; None does not clip."""
    value_coef: Positive = 0.1
    """Weight of the value loss."""
    value_learning_rate: PositiveFloat | None = None
    """Peak learning rate of the value model; None takes the policy's."""
    value_init: Literal["reward_model", "sft"] = "reward_model"
    """What the value model starts from. From the reward model, its size follows the reward
    model's; ``sft`` starts the head at zero."""
    whiten_advantages: Literal["batch", "minibatch", "none"] = "minibatch"
    """Over which tokens advantages are whitened, mean shifted, population variance."""
    whiten_rewards: bool = False
    """Divide rewards by their standard deviation, mean kept."""
    missing_eos: Literal["replace", "subtract"] = "replace"
    """What a completion without an end token does to the score."""
    missing_eos_score: float = -10.0
    """The replacement, or the (negative) number added."""
    recompute_old: bool = False
    """Recompute old log-probabilities, values and advantages from the current weights at every
    minibatch, as the paper's released code does: its ratio is then 1. False is textbook PPO."""
    prompts_location: str = not_identity("")
    """Where this machine has the file behind ``prompts``."""


class EvaluationConfig(Config):
    """Evaluation of one policy on one suite through lm-eval."""

    suite: str = "tiny-instruct"
    """Name of a suite in the registry."""
    split: Literal["validation", "test"] = "test"
    """Which prompts. Tune on validation, report on test."""
    samples: PositiveInt = 2
    """Sampled completions per prompt, beside the greedy one."""
    temperature: Positive = 1.0
    """Sampling temperature."""
    max_new_tokens: PositiveInt | None = None
    """Longest completion; None takes the suite's."""
    limit: PositiveInt | None = None
    """First so many documents of each task; None takes all."""
    shots: NonNegativeInt = 0
    """Solved examples before each question, always the same, in tasks that have any."""
    content: str | None = None
    """Hash of the local files behind the suite; None for a generated suite."""
    seed: NonNegativeInt = 0
    """Seed of the sampled completions."""
    location: str = not_identity("")
    """Folder of the suite's local files on this machine."""


class RewardEvaluationConfig(Config):
    """Evaluation of one reward model: pair accuracy, and best-of-N where a gold reward exists."""

    dataset: str = "tiny-instruct"
    """Registry name of the evaluation pairs."""
    content: str | None = None
    """Hash of the local file behind ``dataset``."""
    examples: PositiveInt = 600
    """Pairs of each kind."""
    best_of: PositiveInt = 8
    """Largest N of best-of-N."""
    best_of_prompts: NonNegativeInt = 192
    """Prompts sampled for best-of-N; 0 leaves it out."""
    max_new_tokens: PositiveInt = 40
    """Longest sampled completion."""
    seed: NonNegativeInt = 0
    """Seed of the pairs and samples."""
    location: str = not_identity("")
    """Where this machine has the file."""


ModelConfig = Annotated[EmbeddedModelConfig | ImportedModelConfig, Field(discriminator="kind")]
AnyPolicyConfig = Annotated[DpoConfig | PpoConfig, Field(discriminator="algorithm")]
AnyConfig = (
    EmbeddedModelConfig
    | ImportedModelConfig
    | SftConfig
    | PreferencesConfig
    | ReferenceConfig
    | RewardModelConfig
    | DpoConfig
    | PpoConfig
    | EvaluationConfig
    | RewardEvaluationConfig
)

CONFIG_CLASSES: dict[str, type[Config]] = {
    cls.__name__: cls
    for cls in (
        EmbeddedModelConfig,
        ImportedModelConfig,
        SftConfig,
        PreferencesConfig,
        ReferenceConfig,
        RewardModelConfig,
        DpoConfig,
        PpoConfig,
        EvaluationConfig,
        RewardEvaluationConfig,
    )
}
"""Every stage configuration by class name, as written in a job's request."""
