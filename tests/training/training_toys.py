"""A toy tiny-instruct: every stage in about a second."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.data.making import make
from ablate.rewards.sources import RewardSource, load_reward
from ablate.spec import stages
from ablate.spec.config import Config
from ablate.store.workspace import METRICS, Workspace
from ablate.training import base, labels, policy, reference, reward_model, samples, sft, tokens
from ablate.training.online import OnlineLoop
from ablate.training.ppo import ppo_parts
from ablate.training.ppo_update import PpoUpdate

RUNS: dict[str, Callable[[Workspace], None]] = {
    "model": base.run,
    "sft": sft.run,
    "preferences": make,
    "tokens": tokens.run,
    "reference": reference.run,
    "reward_model": reward_model.run,
    "samples": samples.run,
    "labels": labels.run,
    "policy": policy.run,
}


@dataclass
class Toy:
    """Folders of artifacts by role, and a way to run one more stage."""

    root: Path
    artifacts: dict[str, Path] = field(default_factory=dict)
    made: int = 0

    def workspace(self, stage: str, config: Config, **replaced: Path) -> Workspace:
        """Return a fresh workspace whose inputs are the toy's artifacts."""
        folder = self.root / f"{stage}-{self.made}"
        self.made += 1
        for name in ("output", "scratch"):
            (folder / name).mkdir(parents=True)
        inputs: Mapping[str, Path] = {**self.artifacts, **replaced}
        return Workspace(stage, config, inputs, folder / "output", folder / "scratch")

    def run(self, stage: str, config: Config, **replaced: Path) -> Workspace:
        """Run a stage to its end."""
        workspace = self.workspace(stage, config, **replaced)
        RUNS[stage](workspace)
        return workspace

    def resume(self, workspace: Workspace) -> None:
        """Run a workspace's stage from its last checkpoint, or from the start."""
        RUNS[workspace.stage](workspace)

    def successor(self, killed: Workspace) -> Workspace:
        """Return the workspace of the next attempt: the scratch copied, the output empty."""
        workspace = self.workspace(killed.stage, killed.config)
        workspace.inputs = killed.inputs
        shutil.copytree(killed.scratch, workspace.scratch, dirs_exist_ok=True)
        return workspace


def metrics(workspace: Workspace) -> list[dict[str, Any]]:
    """Return the step metrics of a run."""
    text = (workspace.output / METRICS).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def sft_config(**fields: Any) -> stages.SftConfig:
    """Twelve steps of eight short demonstrations."""
    return stages.SftConfig(
        **{
            "dataset": "tiny-demonstrations", "examples": 48, "epochs": 2, "batch_size": 8,
            "learning_rate": 1e-3, "max_length": 64, "checkpoint_every_steps": 3, **fields,
        }
    )  # fmt: skip


def reward_config(**fields: Any) -> stages.RewardModelConfig:
    """Six steps of eight pairs."""
    return stages.RewardModelConfig(
        **{
            "epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "max_length": 64,
            "normalize": True, "normalization_prompts": 16, "max_new_tokens": 12,
            "centering_coef": 0.01, "checkpoint_every_steps": 2, **fields,
        }
    )  # fmt: skip


def dpo_config(**fields: Any) -> stages.DpoConfig:
    """Twelve steps of eight pairs."""
    return stages.DpoConfig(
        **{
            "epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "max_length": 64,
            "checkpoint_every_steps": 3, **fields,
        }
    )  # fmt: skip


def ppo_config(**fields: Any) -> stages.PpoConfig:
    """Five rollout batches of 16, two minibatches each."""
    return stages.PpoConfig(
        **{
            "prompts": "tiny-mixed", "prompts_examples": 40, "steps": 5, "rollouts_per_step": 16,
            "batch_size": 8, "learning_rate": 1e-3, "max_new_tokens": 12, "max_prompt_length": 32,
            "max_length": 64, "temperature": 1.0, "missing_eos_score": -3.0,
            "checkpoint_every_steps": 4, **fields,
        }
    )  # fmt: skip


@dataclass
class PpoParts:
    """A loop, its update and its reward, before anything is sampled."""

    loop: OnlineLoop
    update: PpoUpdate
    reward: Any

    def run(self) -> None:
        """Take every step."""
        self.loop.run(self.update, self.reward)


def ppo_parts_of(toy: Toy, **fields: Any) -> PpoParts:
    """Return the parts of the toy's PPO stage."""
    config = ppo_config(**fields)
    workspace = toy.workspace("policy", config)
    reward = load_reward(workspace.inputs, RewardSource.of(config), device="cpu")
    return PpoParts(*ppo_parts(workspace, config), reward)
