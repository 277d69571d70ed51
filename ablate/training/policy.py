"""The policy stage: one entry point for every preference algorithm."""

from __future__ import annotations

from ablate.spec.stages import DpoConfig, PpoConfig
from ablate.store.workspace import Workspace
from ablate.training.dpo import run_dpo
from ablate.training.ppo import run_ppo


def run(workspace: Workspace) -> None:
    """Train the policy by the algorithm whose configuration this is."""
    match workspace.config:
        case DpoConfig() as config:
            run_dpo(workspace, config)
        case PpoConfig() as config:
            run_ppo(workspace, config)
        case other:
            raise TypeError(f"policy stage: {type(other).__name__} is no algorithm's configuration")
