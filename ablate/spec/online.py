"""Algorithms that learn from completions that the policy samples while it trains.

``rollouts_per_step`` counts completions; ``rollouts_per_step / samples_per_prompt`` prompts are
sampled at every step.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from ablate.spec.config import added_later, not_identity
from ablate.spec.policies import BudgetUnit, PolicyConfig
from ablate.spec.shaping import Shaping
from ablate.spec.training import Fraction, Positive, Schedule

Clip = Annotated[float, Field(gt=0.0, le=1.0)]
REWARD_MODEL = "reward_model"
IMPLICIT = "implicit"
JUDGE = "judge"
SELF = "self"
OWN_REWARDS = (REWARD_MODEL, IMPLICIT, JUDGE)
"""Values of ``reward`` that are jobs of the study; every other one names a function."""


class OnlineConfig(PolicyConfig):
    """What is sampled."""

    family: ClassVar[str] = "online"
    samples: ClassVar[bool] = True
    scorer: ClassVar[str] = REWARD_MODEL
    """What scores completions, for an algorithm whose ``reward`` is no choice."""
    spends: ClassVar[frozenset[BudgetUnit]] = frozenset(
        {"preferences", "generated_tokens", "reward_calls", "seconds"}
    )

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
    """Completions sampled in one step: 512 in the paper's released command, while a caption implies
    64 (equal to the minibatch) for some of its runs."""
    samples_per_prompt: PositiveInt = added_later(1, neutral=1)
    """Completions of each prompt of a step."""
    max_new_tokens: PositiveInt = 1024
    """Longest completion."""
    max_prompt_length: PositiveInt = 1024
    """Longer prompts are dropped and counted."""
    temperature: Positive = 0.7
    """Sampling temperature."""
    logprob_temperature: PositiveFloat | None = None
    """Logits are divided by this in old, new and reference log-probabilities; None takes the
    sampling temperature. The paper's code uses 1.0."""
    missing_eos: Literal["replace", "subtract"] = "replace"
    """What a completion without an end token does to the score."""
    missing_eos_score: float = -10.0
    """The replacement, or the (negative) number added."""
    prompts_shaping: Shaping | None = added_later(None, neutral=None)
    """What is kept of the prompt set, where the study says it under ``datasets``."""
    prompts_location: str = not_identity("")
    """Where this machine has the file behind ``prompts``."""


class ScoredConfig(OnlineConfig):
    """Samples that any reward may score."""

    reward: str = added_later(REWARD_MODEL, neutral=REWARD_MODEL)
    """What scores completions: ``reward_model``, ``implicit`` (a DPO policy trained on the reward
    model's data), ``judge`` (the SFT model asked for a rating), or the name of a reward function of
    an installed package."""
    reward_origin: str = added_later("", neutral="")
    """Distribution and version behind a reward function, filled in by the loader."""
    ensemble: Literal["mean", "worst", "uncertainty"] = added_later("mean", neutral="mean")
    """How the scores of several reward models become one (Coste et al. 2023, arXiv:2310.02743)."""
    uncertainty_coef: NonNegativeFloat = added_later(0.5, neutral=0.5)
    """Weight of the members' variance, subtracted from their mean under ``uncertainty``."""
    implicit_reference: bool = added_later(True, neutral=True)
    """Whether ``implicit`` subtracts the reference's log-probability; RewardBench
    (arXiv:2403.13787) compares both."""


class PolicyGradientConfig(ScoredConfig):
    """A policy gradient of the reward minus a price of divergence from the reference."""

    learning_rate: Positive = 1e-6
    """Peak learning rate of the policy."""
    schedule: Schedule = "constant"
    """Decay after the warm-up."""
    kl_coef: NonNegativeFloat = 0.05
    """Weight of the KL penalty. The paper's authors note 0.05, and 0.0325 with larger reward
    models; one note of others says the opposite."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    """Per-token estimator of the penalty (Schulman 2020): k1 is log pi - log pi_ref."""
    kl_target: PositiveFloat | None = None
    """Target of the adaptive controller in nats per sequence (Ziegler et al. 2019); None keeps the
    coefficient fixed."""
    kl_horizon: PositiveInt = 10_000
    """Horizon of the adaptive controller in rollouts."""
    truncated: Literal["terminal", "mask", "bootstrap"] = added_later(
        "terminal", neutral="terminal"
    )
    """A completion that was cut: ended there with the score of ``missing_eos``; left out of the
    loss (DAPO, arXiv:2503.14476); or, with a value model, worth what its last state is worth."""


class PpoConfig(PolicyGradientConfig):
    """Proximal policy optimization with a value model (Schulman et al. 2017; Ivison 2024).

    ``batch_size`` is the minibatch; ``epochs`` counts passes over the prompts when ``steps`` is
    None. The KL penalty is part of the per-token reward.
    """

    algorithm: Literal["ppo"] = "ppo"
    """Tells this class from the others."""
    ppo_epochs: PositiveInt = 1
    """Passes over each rollout batch."""
    gamma: Fraction = 1.0
    """Discount."""
    gae_lambda: Fraction = 0.95
    """Lambda of generalized advantage estimation."""
    clip_ratio: Clip = 0.2
    """Policy ratio clip."""
    value_clip: PositiveFloat | None = 0.2
    """Value clip around the old value; None does not clip."""
    value_coef: Positive = 0.1
    """Weight of the value loss."""
    value_learning_rate: PositiveFloat | None = None
    """Peak learning rate of the value model; None takes the policy's."""
    value_init: Literal["reward_model", "sft", "policy", "shared"] = "reward_model"
    """What the value model starts from. From the reward model, its size follows the reward
    model's; ``sft`` and ``policy`` (what this stage starts from) start the head at zero; ``shared``
    is a head on the policy itself, trained by one optimizer."""
    whiten_advantages: Literal["batch", "minibatch", "none"] = "minibatch"
    """Over which tokens advantages are whitened, mean shifted, population variance."""
    whiten_rewards: bool = False
    """Divide rewards by their standard deviation, mean kept."""
    recompute_old: bool = False
    """Recompute old log-probabilities, values and advantages from the current weights at every
    minibatch, as the paper's released code does: its ratio is then 1. False is textbook PPO."""


class ReinforceConfig(PolicyGradientConfig):
    """REINFORCE (Williams 1992) on whole completions, KL inside the reward, no critic, no clip."""

    algorithm: Literal["reinforce"] = "reinforce"
    """Tells this class from the others."""
    baseline: Literal["none", "batch_mean", "moving_average"] = "moving_average"
    """What is subtracted from a completion's return; the moving average is of earlier batches."""
    baseline_decay: Fraction = 0.9
    """Weight of the past in the moving average."""
    whiten_advantages: bool = False
    """Scale advantages to unit variance over the rollout batch."""


class RlooConfig(PolicyGradientConfig):
    """REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024, arXiv:2402.14740)."""

    algorithm: Literal["rloo"] = "rloo"
    """Tells this class from the others."""
    samples_per_prompt: Annotated[int, Field(ge=2)] = 4
    """Completions of each prompt; each one's baseline is the mean of the others."""
    rollout_epochs: PositiveInt = 1
    """Passes over each rollout batch."""
    objective: Literal["reinforce", "clipped"] = "reinforce"
    """``reinforce`` is the paper's gradient; ``clipped`` clips the ratio of whole sequences."""
    clip_ratio: Clip = 0.2
    """Clip of the sequence ratio, where the objective is clipped."""
    whiten_advantages: bool = False
    """Scale advantages to unit variance over the rollout batch."""


class GrpoConfig(PolicyGradientConfig):
    """Group-relative policy optimization (Shao et al. 2024, arXiv:2402.03300), KL in the loss."""

    algorithm: Literal["grpo"] = "grpo"
    """Tells this class from the others."""
    samples_per_prompt: Annotated[int, Field(ge=2)] = 8
    """Completions of each prompt, whose rewards are compared with one another; the paper: 64."""
    rollout_epochs: PositiveInt = 1
    """Passes over each rollout batch."""
    kl_coef: NonNegativeFloat = 0.04
    """Weight of the KL term in the loss."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    """Estimator of the KL term; the paper uses k3."""
    clip_ratio: Clip = 0.2
    """Clip of each token's ratio."""
    kl_correction: bool = added_later(False, neutral=False)
    """Multiply each token's KL estimate by its ratio, gradient included, as TRL does: k3's expected
    gradient is then that of KL(policy || reference). The paper does not (arXiv:2512.02556)."""
    scale_rewards: bool = True
    """Divide by the group's standard deviation; False is Dr. GRPO (arXiv:2503.20783)."""
    loss_normalization: Literal["sequence", "token", "constant"] = "sequence"
    """Mean over each completion's tokens and then over completions (the paper); over all tokens of
    the minibatch; or divided by ``max_new_tokens`` (Dr. GRPO)."""


class RankedSamplesConfig(OnlineConfig):
    """Samples of one prompt, ranked by the reward: the best and the worst make a pair."""

    learning_rate: Positive = 5e-7
    """Peak learning rate."""
    batch_size: PositiveInt = 32
    """Pairs per optimizer step."""
    samples_per_prompt: Annotated[int, Field(ge=2)] = 2
    """Completions of each prompt, of which the best and the worst are used."""
    beta: Positive = 0.1
    """Strength of the implicit KL to the reference."""


class OnlineDpoConfig(RankedSamplesConfig, ScoredConfig):
    """Online DPO (Guo et al. 2024, arXiv:2402.04792): pairs of the current policy, no ties."""

    algorithm: Literal["online_dpo"] = "online_dpo"
    """Tells this class from the others."""


class TwoPhaseDpoConfig(RankedSamplesConfig):
    """DPO whose policy, frozen, is the implicit reward of a second policy trained by online DPO.

    The first phase has the fields of the section ``dpo``.
    """

    scorer: ClassVar[str] = IMPLICIT

    algorithm: Literal["two_phase_dpo"] = "two_phase_dpo"
    """Tells this class from the others."""


class D2poConfig(RankedSamplesConfig):
    """Online DPO with periodic gold labels that retrain the reward model (arXiv:2405.01511).

    Discriminator-guided DPO, Singhal et al. 2024. Some pairs of the current policy are labelled by
    ``gold``; the reward model is trained further on all such labels and ranks the samples until
    the next round. Every labelled pair is a preference spent.
    """

    algorithm: Literal["d2po"] = "d2po"
    """Tells this class from the others."""
    gold: str = "gold"
    """Who labels: ``gold`` (the world's own reward) or the name of a reward function."""
    gold_origin: str = ""
    """Distribution and version behind a labelling function, filled in by the loader."""
    relabel_every_steps: PositiveInt | None = 4
    """Rollout batches between two rounds of labels; None labels before the first update only, so
    that the reward model is fixed from then on (online preference optimization)."""
    labels_per_round: PositiveInt = 16
    """Pairs labelled in one round. Above the prompts of a rollout batch, the prompts that follow
    are sampled as well, to be labelled only."""
    select: Literal["random", "confidence"] = "random"
    """Which pairs of the batch are labelled: random ones, or those with the smallest margin."""
    reward_init: Literal["reward_model", "sft"] = "reward_model"
    """What the reward model starts from: the one trained on the cell's preferences, or the SFT
    model under a new head, which has seen no preference before the first round."""
    reward_learning_rate: Positive = 1e-4
    """Learning rate of the reward model's updates, constant."""
    reward_epochs: PositiveInt = 4
    """Passes over all gold labels in one round."""
    reward_batch_size: PositiveInt = 16
    """Pairs per optimizer step of the reward model."""
    initial_fraction: Fraction = 0.5
    """Share of a budget of preferences (``match``) that trains the first reward model."""


class RoundsConfig(RankedSamplesConfig):
    """Rounds of sampling, ranking and DPO; ``steps`` and ``rollouts_per_step`` play no part."""

    rounds: PositiveInt = 3
    """Rounds of sampling, labelling and training."""
    prompts_per_round: PositiveInt = 512
    """Prompts sampled in one round."""
    epochs_per_round: PositiveInt = 1
    """Passes over a round's pairs."""
    round_reference: Literal["previous", "first"] = "previous"
    """What a round stays close to: the policy of the round before it, or the first one."""


class IterativeDpoConfig(RoundsConfig, ScoredConfig):
    """Rounds of DPO, each on new generations of the policy of the round before it.

    As in Llama 2's rounds of collection (arXiv:2307.09288), with the reward as labeller.
    """

    algorithm: Literal["iterative_dpo"] = "iterative_dpo"
    """Tells this class from the others."""


class SelfRewardingConfig(RoundsConfig):
    """Self-rewarding language models (Yuan et al. 2024, arXiv:2401.10020).

    The policy judges its own samples. It first learns to judge, and to answer, from the cell's
    preference pairs; then every round ranks new samples by its own verdicts.
    """

    reads_pairs: ClassVar[bool] = True
    scorer: ClassVar[str] = SELF

    algorithm: Literal["self_rewarding"] = "self_rewarding"
    """Tells this class from the others."""
    samples_per_prompt: Annotated[int, Field(ge=2)] = 4
    """Candidates of each prompt."""
    judge_epochs: PositiveInt = 1
    """Passes over the judging and answering examples before the first round."""
    judge_learning_rate: Positive = 1e-5
    """Peak learning rate of that training."""


class RejectionSamplingConfig(ScoredConfig):
    """Best of N by a reward, then supervised fine-tuning on the winners.

    ``samples_per_prompt`` is N. The sampled and scored completions are an artifact of their own, so
    a random-pick control costs no further sampling.
    """

    reads_samples: ClassVar[bool] = True
    # Sampling is a job of its own, so that one clock cannot rule both.
    spends: ClassVar[frozenset[BudgetUnit]] = frozenset(
        {"preferences", "generated_tokens", "reward_calls"}
    )

    algorithm: Literal["rejection_sampling"] = "rejection_sampling"
    """Tells this class from the others."""
    batch_size: PositiveInt = 32
    """Completions per optimizer step."""
    learning_rate: Positive = 2e-5
    """Peak learning rate."""
    samples_per_prompt: Annotated[int, Field(ge=2)] = 10
    """Completions of each prompt; 10 to 30 are usual."""
    pick: Literal["best", "random"] = "best"
    """``random`` is the control: the same number of completions, not chosen by the reward."""
    keep: Literal["per_prompt", "overall"] = "per_prompt"
    """The best of each prompt, or as many of the best of all completions."""
    skip_cut: bool = True
    """Never imitate a completion without an end token."""


def scored_by(config: PolicyConfig) -> str | None:
    """Return what scores the samples of an algorithm, None where nothing from outside does."""
    if isinstance(config, ScoredConfig):
        return config.reward
    if isinstance(config, D2poConfig) and config.reward_init != REWARD_MODEL:
        return None
    return config.scorer if isinstance(config, OnlineConfig) else None
