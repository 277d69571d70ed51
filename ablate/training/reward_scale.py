"""The scale of a reward model's scores, whatever trained it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from ablate.data.records import Messages
from ablate.errors import StageError
from ablate.models.boundary import Boundary, Row
from ablate.models.loading import LoadedModel, load_policy
from ablate.models.logprobs import completion_scores
from ablate.models.sampling import Request, SamplingParams, sample
from ablate.models.tokenizing import prompt_ids
from ablate.rewards.reading import Reader
from ablate.rewards.responses import Response
from ablate.rewards.reward_model import REWARD
from ablate.spec.stages import RewardModelConfig
from ablate.store.workspace import Workspace
from ablate.training.device import autocast
from ablate.training.streams import derived_seed, permutation


class Asked(Protocol):
    """Any example of preference data."""

    @property
    def prompt(self) -> Messages:
        """What the assistant was asked."""


class Examples(Protocol):
    """Examples that can be gone through again and again, and need not be in memory."""

    def __iter__(self) -> Iterator[Asked]:
        """Yield every example."""

    def __len__(self) -> int:
        """Return the examples."""


@dataclass(frozen=True)
class Output:
    """How a reward model's score comes out of it."""

    score: Callable[[Sequence[Row]], Tensor] | None = None
    """Scores rows; None takes the model's scalar."""
    level: float = 0.0
    """Added to a score that is not standardized."""


def write_scale(
    workspace: Workspace,
    reward: LoadedModel,
    asked: Examples,
    *,
    device: str,
    output: Output | None = None,
) -> None:
    """Write ``reward.json``: the measured scale, or 1 and a level where none is asked for."""
    output = output or Output()
    config = workspace.config
    assert isinstance(config, RewardModelConfig)
    scale: Mapping[str, float | None] = {
        "gain": 1.0,
        "bias": output.level,
        "raw_mean": None,
        "raw_std": None,
    }
    if config.normalize:
        with autocast(device):
            scale = _scale(workspace, reward, asked, device=device, output=output)
    _write_reward(workspace.output, scale, layers=reward.model.config.num_hidden_layers)


def _scale(
    workspace: Workspace,
    reward: LoadedModel,
    asked: Examples,
    *,
    device: str,
    output: Output,
) -> dict[str, float | None]:
    """Return the scale on which samples of the reference have mean 0 and standard deviation 1.

    One sample, at temperature 1, for each of some training prompts. Samples that were cut count
    too, though reinforcement learning may replace their score. The members of an ensemble score
    the same samples.
    """
    config = workspace.config
    assert isinstance(config, RewardModelConfig)
    sampler = workspace.inputs.get("sampler", workspace.inputs["policy"])
    policy = load_policy(sampler / "model", device=device)
    numbers = _distinct(policy.boundary, asked)
    prompts = sorted(numbers)
    order = permutation(len(prompts), config.seed, "normalization")
    chosen = [prompts[i] for i in order[: config.normalization_prompts]]
    requests = [Request(tuple(np.frombuffer(key, dtype=_KEY).tolist())) for key in chosen]
    params = SamplingParams(
        max_new_tokens=config.max_new_tokens,
        temperature=1.0,
        seed=derived_seed(config.seed, "normalization"),
    )
    with workspace.timed("rollout"):
        samples = sample(policy.model, policy.boundary, requests, params)
    if "sampler" in workspace.inputs:  # Its tokens may not be the reward model's: text goes over.
        reader = Reader(reward)
        wanted = {numbers[key] for key in chosen}
        messages = {i: item.prompt for i, item in enumerate(asked) if i in wanted}
        texts = [
            Response(messages[numbers[key]], policy.boundary.text(s.tokens), s.ended)
            for key, s in zip(chosen, samples, strict=True)
        ]
        rows = [reader.row(response) for response in texts if reader.fits(response)]
    else:
        rows = [Row(r.prompt, s.tokens) for r, s in zip(requests, samples, strict=True)]
    score = output.score or partial(completion_scores, reward.model)
    with workspace.timed("scoring"):
        raw = score(rows).double()
    workspace.count(generated_tokens=sum(len(s.tokens) for s in samples), reward_calls=len(rows))
    mean, std = raw.mean().item(), raw.std(correction=0).item()
    if not (math.isfinite(mean) and std > 0.0):
        raise StageError(
            f"reward normalization: {len(rows)} samples have mean {mean} and standard deviation"
            f" {std}; it must be above 0. Use more normalization_prompts, or look at the samples.",
            kind="bad_data",
        )
    return {"gain": 1.0 / std, "bias": -mean / std, "raw_mean": mean, "raw_std": std}


_KEY = np.dtype(">u4")
"""Ids in this form, as bytes, are in the order of the ids themselves and take 4 bytes each."""


def _distinct(boundary: Boundary, asked: Iterable[Asked]) -> dict[bytes, int]:
    """Return the number of the last example with each prompt, by the prompt's ids."""
    found = prompt_ids(boundary, (item.prompt for item in asked))
    return {np.array(ids, dtype=_KEY).tobytes(): number for number, ids in enumerate(found)}


def _write_reward(folder: Path, scale: Mapping[str, float | None], *, layers: int) -> None:
    text = json.dumps({**scale, "layers": layers}, sort_keys=True, indent=1, allow_nan=False)
    (folder / REWARD).write_text(text + "\n", encoding="utf-8")
