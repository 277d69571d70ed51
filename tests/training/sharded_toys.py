"""What each of two processes runs: toy stages, kills, resumes and a rollout of odd lengths."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from training_toys import RUNS, dpo_config, ppo_config, reward_config, sft_config

from ablate.execution.linux import die_with_parent
from ablate.models.boundary import Row
from ablate.models.loading import load_policy
from ablate.models.logprobs import TokenLogprobs, completion_logprobs
from ablate.models.ranks import joined, rank
from ablate.models.sampling import Request, SamplingParams, sample
from ablate.spec.config import Config
from ablate.spec.policies import Budget
from ablate.spec.stages import D2poConfig, GrpoConfig, LoraConfig
from ablate.store.workspace import CHECKPOINT, Workspace
from ablate.training.learner import Learner, Share, settings_of
from ablate.training.loop import Pace, train
from ablate.training.sft import SftObjective
from ablate.training.trainable import Trainable

LORA = LoraConfig(rank=2, alpha=4.0)
ONLINE: dict[str, Any] = {
    "prompts": "tiny-mixed", "prompts_examples": 40, "steps": 2, "rollouts_per_step": 16,
    "batch_size": 8, "learning_rate": 1e-3, "max_new_tokens": 12, "max_prompt_length": 32,
    "max_length": 64, "temperature": 1.0, "missing_eos_score": -3.0,
}  # fmt: skip
STAGES: dict[str, tuple[str, Config]] = {
    # 41 = 5 * 8 + 1: rank 1 has no row of some step, and others take two turns of 3 and 1 rows.
    "sft": ("sft", sft_config(examples=41, micro_batch_size=3, checkpoint_every_steps=3)),
    # 15 samples for the scale: the ranks hold 8 and 7.
    "reward-model": ("reward_model", reward_config(normalization_prompts=15)),
    # Adam divides a gradient of 1e-9 by about itself: with its epsilon of 1e-8, one process moves
    # one weight by 1.2e-5 when its micro-batches change. The command rounds as micro-batches do.
    "dpo": ("policy", dpo_config(epochs=1, adam_epsilon=1e-6, activation_checkpointing=True)),
    # Minibatches of 8 and 7, micro-batches of 3.
    "ppo": (
        "policy",
        ppo_config(steps=3, rollouts_per_step=15, micro_batch_size=3, kl_target=0.5),
    ),
    "ppo-lora": ("policy", ppo_config(steps=2, lora=LORA, value_init="sft")),
    "ppo-shared": (
        "policy", ppo_config(steps=2, value_init="shared", recompute_old=True, ppo_epochs=2),
    ),
    "grpo": ("policy", GrpoConfig(**ONLINE, samples_per_prompt=4, rollout_epochs=2)),
    # Every rank reads a reward model that it wrote itself; two models are trained.
    "d2po": (
        "policy", D2poConfig(**ONLINE, labels_per_round=8, reward_init="sft", select="confidence"),
    ),
}  # fmt: skip
SECONDS = ppo_config(budget=Budget(unit="seconds", amount=0.3))
RESUMED = {"sft": 5, "ppo": 2}
"""Stages that are killed after a step with an unsaved one before it."""
REQUESTS = 7


class Killed(Exception):
    """Stands for a kill between two steps."""


def workspace(folder: Path, stage: str, *, config: Config, inputs: Mapping[str, Path]) -> Workspace:
    """Return a fresh workspace below ``folder``."""
    for name in ("output", "scratch"):
        (folder / name).mkdir(parents=True)
    return Workspace(stage, config, inputs, folder / "output", folder / "scratch")


def killed(run: Workspace, step: int) -> None:
    """Run a stage until it has taken ``step`` steps."""

    def report(event: Mapping[str, Any]) -> None:
        if event.get("done") == step:
            raise Killed

    run.report = report
    try:
        RUNS[run.stage](run)
    except Killed:
        return
    raise AssertionError(f"{run.stage} ended before step {step}")


def successor(folder: Path, run: Workspace, *, scratch: Path) -> Workspace:
    """Return the next attempt's workspace, with a checkpoint of ``scratch``."""
    fresh = workspace(folder, run.stage, config=run.config, inputs=run.inputs)
    shutil.copy(scratch / CHECKPOINT, fresh.scratch / CHECKPOINT)
    return fresh


class OneByOne(SftObjective):
    """The same loss, each row in a forward pass of its own."""

    def share(self, micro: Sequence[int], weight: float) -> Share:
        """Return the rows' part of the token mean."""
        rows = [self.rows[i] for i in micro]
        scored = completion_logprobs(self.model, rows, grad=True, micro_batch=1)
        return Share(-scored.logprobs.sum() / weight)


def sums(scored: TokenLogprobs) -> list[float]:
    """Return each row's log-probability."""
    found: list[float] = scored.logprobs.sum(dim=1).tolist()
    return found


def rollout_and_step(
    inputs: Mapping[str, Path], folder: Path
) -> tuple[list[list[int]], list[float]]:
    """Return samples from before and after two steps on them, and log-probabilities of after.

    Rows go through the model one by one: of seven rank 0 has one more than rank 1.
    """
    loaded = load_policy(inputs["sft"] / "model")
    config = sft_config()
    trainable = Trainable(loaded, None, seed=0)
    prompt = loaded.boundary.prompt_ids([{"role": "user", "content": "name three fruits"}])
    requests = [Request(prompt, number) for number in range(REQUESTS)]
    params = SamplingParams(max_new_tokens=40, temperature=1.0, seed=3)
    sampled = sample(trainable.model, loaded.boundary, requests, params)
    rows = [Row(prompt, completion.tokens) for completion in sampled]
    objective = OneByOne(trainable.model, rows)
    batches = [list(range(REQUESTS)), [2, 4, 5]]
    learner = Learner(trainable, settings_of(config, len(batches)))
    run = workspace(folder, "sft", config=config, inputs=inputs)
    train(run, learner, objective, batches=batches, pace=Pace())
    again = sample(trainable.model, loaded.boundary, requests, params)
    scored = completion_logprobs(trainable.model, rows, grad=False, micro_batch=1)
    return [list(completion.tokens) for completion in (*sampled, *again)], sums(scored)


def main(inputs: Mapping[str, Path], out: Path) -> None:
    """Run everything and leave a folder a rank below ``out``."""
    mine = out / str(rank())
    for name, (stage, config) in STAGES.items():
        run = workspace(mine / name, stage, config=config, inputs=inputs)
        RUNS[stage](run)
        (mine / name / "counts.json").write_text(json.dumps([run.counts, run.numerics]))
    for name, step in RESUMED.items():
        stage, config = STAGES[name]
        dead = workspace(mine / f"{name}-killed", stage, config=config, inputs=inputs)
        killed(dead, step)
        # A worker's other ranks read rank 0's checkpoint.
        dist.barrier()
        saved = out / "0" / f"{name}-killed" / "scratch"
        RUNS[stage](successor(mine / f"{name}-resumed", dead, scratch=saved))
    RUNS["policy"](workspace(mine / "seconds", "policy", config=SECONDS, inputs=inputs))
    left = rollout_and_step(inputs, mine / "rollout")
    (mine / "rollout" / "left.json").write_text(json.dumps(left))


if __name__ == "__main__":
    torch.set_num_threads(1)
    die_with_parent(signal.SIGKILL, os.getppid())
    artifacts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with joined("cpu"):
        main({role: Path(folder) for role, folder in artifacts.items()}, Path(sys.argv[2]))
