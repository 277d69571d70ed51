"""The policy stage: one entry point for every preference algorithm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ablate.spec.config import Config
from ablate.spec.stages import DpoConfig, GrpoConfig, PpoConfig, ReinforceConfig, RlooConfig
from ablate.store.workspace import Workspace
from ablate.training.dpo import run_dpo
from ablate.training.policy_gradient import run_policy_gradient
from ablate.training.ppo import run_ppo

LOOPS: dict[type[Config], Callable[[Workspace, Any], None]] = {
    DpoConfig: run_dpo,
    PpoConfig: run_ppo,
    ReinforceConfig: run_policy_gradient,
    RlooConfig: run_policy_gradient,
    GrpoConfig: run_policy_gradient,
}
"""What trains, by the class of the configuration."""


def run(workspace: Workspace) -> None:
    """Train the policy by the algorithm whose configuration this is."""
    loop = LOOPS.get(type(workspace.config))
    if loop is None:
        name = type(workspace.config).__name__
        raise TypeError(f"policy stage: {name} is no algorithm's configuration")
    loop(workspace, workspace.config)
