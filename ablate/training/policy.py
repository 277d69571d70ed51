"""The policy stage: one entry point for every preference algorithm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ablate.spec.config import Config
from ablate.spec.stages import (
    D2poConfig,
    GrpoConfig,
    IterativeDpoConfig,
    KtoConfig,
    OnlineDpoConfig,
    PpoConfig,
    ReinforceConfig,
    RejectionSamplingConfig,
    RlooConfig,
    SelfRewardingConfig,
    TwoPhaseDpoConfig,
)
from ablate.spec.training import TrainingConfig
from ablate.store.workspace import Workspace
from ablate.training.backends.stage import run_elsewhere
from ablate.training.d2po import run_d2po
from ablate.training.kto import run_kto
from ablate.training.offline import run_offline
from ablate.training.pair_losses import RULES
from ablate.training.policy_gradient import run_policy_gradient
from ablate.training.ppo import run_ppo
from ablate.training.ranked import run_ranked
from ablate.training.rejection_sampling import run_rejection_sampling
from ablate.training.self_rewarding import run_self_rewarding

LOOPS: dict[type[Config], Callable[[Workspace, Any], None]] = {
    **dict.fromkeys(RULES, run_offline),
    KtoConfig: run_kto,
    PpoConfig: run_ppo,
    ReinforceConfig: run_policy_gradient,
    RlooConfig: run_policy_gradient,
    GrpoConfig: run_policy_gradient,
    OnlineDpoConfig: run_ranked,
    TwoPhaseDpoConfig: run_ranked,
    IterativeDpoConfig: run_ranked,
    D2poConfig: run_d2po,
    SelfRewardingConfig: run_self_rewarding,
    RejectionSamplingConfig: run_rejection_sampling,
}
"""What trains, by the class of the configuration."""


def run(workspace: Workspace) -> None:
    """Train the policy by the algorithm whose configuration this is."""
    loop = LOOPS.get(type(workspace.config))
    if loop is None:
        name = type(workspace.config).__name__
        raise TypeError(f"policy stage: {name} is no algorithm's configuration")
    if isinstance(workspace.config, TrainingConfig) and workspace.config.backend != "native":
        return run_elsewhere(workspace, workspace.config)
    loop(workspace, workspace.config)
