"""Algorithms that learn from a fixed set of preference pairs.

Learning rate, epochs and batch are those of Ivison et al. 2024's DPO for every one, so that arms
differ in the loss alone; each method's own paper is named where it says otherwise.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from ablate.spec.policies import PolicyConfig
from ablate.spec.training import Positive

FlipRate = Annotated[float, Field(ge=0.0, lt=0.5)]
SomeFlips = Annotated[float, Field(gt=0.0, lt=0.5)]


class OfflineConfig(PolicyConfig):
    """Training on preference pairs; ``batch_size`` counts pairs."""

    family: ClassVar[str] = "offline"
    reads_pairs: ClassVar[bool] = True

    learning_rate: Positive = 5e-7
    """Peak learning rate."""
    epochs: PositiveInt = 3
    """Passes over the pairs."""


class PairwiseConfig(OfflineConfig):
    """A loss of the pair's log-ratios to the reference."""

    reads_reference: ClassVar[bool] = True

    beta: Positive = 0.1
    """Strength of the implicit KL to the reference."""


class DpoConfig(PairwiseConfig):
    """Direct preference optimization (Rafailov et al. 2023, arXiv:2305.18290)."""

    algorithm: Literal["dpo"] = "dpo"
    """Tells this class from the others."""
    beta: Positive = 0.1
    """Strength of the implicit KL to the reference. Two notes on the paper's second version say
    0.01; the released code says 0.1."""
    label_smoothing: FlipRate = 0.0
    """Probability that a label is flipped (conservative DPO); 0 is plain DPO."""


class CdpoConfig(PairwiseConfig):
    """Conservative DPO: labels are flipped with a known probability (Mitchell 2023)."""

    algorithm: Literal["cdpo"] = "cdpo"
    """Tells this class from the others."""
    label_smoothing: SomeFlips = 0.1
    """Assumed probability that a label is flipped."""


class RobustDpoConfig(PairwiseConfig):
    """Robust DPO, unbiased under flipped labels (Chowdhury et al. 2024, arXiv:2403.00409)."""

    algorithm: Literal["robust_dpo"] = "robust_dpo"
    """Tells this class from the others."""
    label_smoothing: SomeFlips = 0.1
    """Assumed probability that a label is flipped."""


class IpoConfig(PairwiseConfig):
    """Identity preference optimization (Azar et al. 2023, arXiv:2310.12036).

    Log-ratios are means over tokens, as the authors confirmed to TRL, so that ``beta`` (the paper's
    tau) does not depend on length.
    """

    algorithm: Literal["ipo"] = "ipo"
    """Tells this class from the others."""


class HingeConfig(PairwiseConfig):
    """Hinge loss on the implicit reward (SLiC-HF, Zhao et al. 2023, arXiv:2305.10425)."""

    algorithm: Literal["hinge"] = "hinge"
    """Tells this class from the others."""


class DpoNormConfig(PairwiseConfig):
    """DPO on log-ratios that are means over tokens, not sums (``dpo_norm`` of open-instruct)."""

    algorithm: Literal["dpo_norm"] = "dpo_norm"
    """Tells this class from the others."""
    beta: Positive = 5.0
    """Larger than DPO's by about the length of a completion; open-instruct uses 5."""


class DpoMarginConfig(PairwiseConfig):
    """DPO with an offset that the margin must exceed (Amini et al. 2024, arXiv:2402.10571)."""

    algorithm: Literal["dpo_margin"] = "dpo_margin"
    """Tells this class from the others."""
    margin: NonNegativeFloat = 1.0
    """Offset inside the sigmoid; with ``scale_by_gap`` it is multiplied by the pair's own gap."""
    scale_by_gap: bool = False
    """Multiply the offset by the log of the pair's score difference, where the data has scores."""


class DpoReferenceFreeConfig(OfflineConfig):
    """DPO with a uniform reference: the policy's own log-probabilities are the reward."""

    algorithm: Literal["dpo_reference_free"] = "dpo_reference_free"
    """Tells this class from the others."""
    beta: Positive = 0.1
    """Scale of the log-probabilities."""


class SimpoConfig(OfflineConfig):
    """Simple preference optimization (Meng et al. 2024, arXiv:2405.14734), without a reference."""

    algorithm: Literal["simpo"] = "simpo"
    """Tells this class from the others."""
    beta: Positive = 2.0
    """Scale of the mean log-probability; the paper searches 2.0 to 10."""
    gamma_beta_ratio: NonNegativeFloat = 0.5
    """Target margin divided by beta; the paper searches 0.3 to 1.6."""


class OrpoConfig(OfflineConfig):
    """Odds-ratio preference optimization (Hong et al. 2024, arXiv:2403.07691), no reference."""

    algorithm: Literal["orpo"] = "orpo"
    """Tells this class from the others."""
    beta: Positive = 0.1
    """Weight of the odds-ratio term beside the chosen completion's NLL (the paper's lambda)."""


class KtoConfig(OfflineConfig):
    """Kahneman-Tversky optimization (Ethayarajh et al. 2024, arXiv:2402.01306): unpaired feedback.

    A pair gives one desirable and one undesirable example. ``batch_size`` counts examples; the KL
    baseline needs at least two of them.
    """

    algorithm: Literal["kto"] = "kto"
    """Tells this class from the others."""
    batch_size: Annotated[int, Field(ge=2)] = 32
    """Examples per optimizer step, desirable and undesirable together."""
    beta: Positive = 0.1
    """Strength of the implicit KL to the reference."""
    desirable_weight: Positive = 1.0
    """Weight of desirable examples."""
    undesirable_weight: Positive = 1.0
    """Weight of undesirable examples; the paper keeps the weighted counts between 1:1 and 4:3."""


class SftChosenConfig(OfflineConfig):
    """Supervised fine-tuning on the chosen completions: what preferences add to imitation."""

    algorithm: Literal["sft_chosen"] = "sft_chosen"
    """Tells this class from the others."""
