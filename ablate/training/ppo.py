"""Proximal policy optimization with a value model."""

from __future__ import annotations

from ablate.rewards.sources import RewardSource, load_reward
from ablate.spec.stages import PpoConfig
from ablate.store.workspace import Workspace
from ablate.training.online import OnlineLoop
from ablate.training.ppo_update import PpoUpdate
from ablate.training.value_model import drop_shared_head, load_value_model, share_head


def run_ppo(workspace: Workspace, config: PpoConfig) -> None:
    """Train the ``policy`` input against the reward; write policy, metrics and summary."""
    loop, update = ppo_parts(workspace, config)
    source = RewardSource.of(config)
    loop.run(update, load_reward(workspace.inputs, source, device=loop.device))
    drop_shared_head(loop.terms.model)
    loop.finish()


def ppo_parts(workspace: Workspace, config: PpoConfig) -> tuple[OnlineLoop, PpoUpdate]:
    """Return the loop and the update of a PPO stage."""
    head = share_head if config.value_init == "shared" else None
    loop = OnlineLoop(workspace, config, prepare=head)
    value = None
    if head is None:
        value = load_value_model(workspace.inputs, config, loop.boundary, device=loop.device)
    return loop, PpoUpdate(loop.terms, value, config, steps=loop.steps)
