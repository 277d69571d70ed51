"""From what a configuration names as its reward to something that scores replies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.rewards.responses import RewardFunction
from ablate.rewards.reward_model import RewardModel
from ablate.spec.online import scored_by


@dataclass(frozen=True)
class RewardSource:
    """What scores, as a configuration names it."""

    reward: str
    reward_origin: str = ""
    ensemble: str = "mean"
    uncertainty_coef: float = 0.5

    @classmethod
    def of(cls, config: Any) -> RewardSource:
        """Return the source that a configuration with the fields of a reward names."""
        named = getattr(config, "reward", None) or scored_by(config)
        return cls(str(named), getattr(config, "reward_origin", ""))


def load_reward(
    inputs: Mapping[str, Path], source: RewardSource, *, device: str = "cpu"
) -> RewardFunction:
    """Return the reward function of a source; trained models come from ``inputs`` by role."""
    return RewardModel(inputs["reward_model"], device=device)
