"""What resolving gives: the configuration of every stage of a cell, or what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ablate.spec.data import LabelsConfig
from ablate.spec.offline import DpoConfig
from ablate.spec.policies import PolicyConfig
from ablate.spec.stages import (
    EmbeddedModelConfig,
    EvaluationConfig,
    ImportedModelConfig,
    PreferencesConfig,
    RewardEvaluationConfig,
    RewardModelConfig,
    SftConfig,
)

Start = Literal["base", "sft"]


@dataclass(frozen=True)
class Recipe:
    """The resolved configuration of every stage that a cell needs."""

    model: EmbeddedModelConfig | ImportedModelConfig
    """The base model."""
    sft: SftConfig | None
    """None where the policy starts from the base model itself."""
    preferences: PreferencesConfig | None
    """None where neither the policy nor the reward model reads the cell's data set."""
    reward_preferences: PreferencesConfig | None
    """The reward model's own data; None means the same as ``preferences``."""
    reward_model: RewardModelConfig | None
    """None where no link of the chain is scored by one."""
    reward_evaluation: RewardEvaluationConfig | None
    """None where nothing is scored, or the policy scores itself."""
    policy: PolicyConfig | None
    """The algorithm that is evaluated; None for a starting point that is only evaluated."""
    start: Start
    """What a cell without a policy evaluates."""
    evaluation: EvaluationConfig
    """The evaluation of the policy or the starting point."""
    earlier: tuple[PolicyConfig, ...] = ()
    """The links of a chain before ``policy``, in their order."""
    reward_base: EmbeddedModelConfig | ImportedModelConfig | None = None
    """The reward model's own base model; None for the study's."""
    implicit: DpoConfig | None = None
    """The DPO policy whose implicit reward scores; None where none does."""
    labels: LabelsConfig | None = None
    """How pairs are labelled anew; None where the data set's own labels are taken."""

    @property
    def chain(self) -> tuple[PolicyConfig, ...]:
        """Every algorithm that trains, in order."""
        return self.earlier if self.policy is None else (*self.earlier, self.policy)

    def trunk_identity(self) -> tuple[object, ...]:
        """Return what tells apart recipes whose jobs before the chain may differ."""
        parts = (
            self.model,
            self.sft,
            self.preferences,
            self.reward_preferences,
            self.reward_model,
            self.reward_base,
            self.implicit,
            self.labels,
            self.reward_evaluation,
        )
        return tuple(id(part) for part in parts)

    def identity(self) -> tuple[object, ...]:
        """Return what tells recipes of one resolver apart, which shares equal configurations."""
        return (*self.trunk_identity(), *map(id, self.chain))


class UnresolvedError(Exception):
    """Overrides that make no recipe: the path to blame and what is wrong."""

    def __init__(self, path: str, message: str, *, surroundings: bool = False) -> None:
        """Keep the path of the override, which may be one that nobody set."""
        super().__init__(message)
        self.path, self.message, self.surroundings = path, message, surroundings
