"""The policy, reward model and prompts that both sides of the PPO comparison read from disk."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import common
import torch

from ablate.data.prompts import load_prompts
from ablate.models.boundary import Boundary
from ablate.models.loading import load_policy, new_reward_model, save_model
from ablate.spec.stages import EmbeddedModelConfig, SftConfig
from ablate.store.workspace import Workspace
from ablate.training import base, sft

PROMPTS = 1024
VOCABULARY = 8192
MEAN_COMPLETION = 28
"""Of at most 64 tokens, as measured for a trained policy; the random policy is made to end so."""


@dataclass(frozen=True)
class Size:
    """One comparison's models and lengths."""

    name: str
    max_new_tokens: int
    prompts: str
    """Name for the policy stage: a registry name or a file."""
    folder: Path

    @property
    def policy(self) -> Path:
        """The policy's artifact."""
        return self.folder / "policy"

    @property
    def reward(self) -> Path:
        """The reward model's artifact."""
        return self.folder / "reward_model"

    @property
    def prompt_ids(self) -> Path:
        """Token ids of the prompts, for the side that does not make them itself."""
        return self.folder / "prompt_ids.json"


def sizes(cache: Path) -> list[Size]:
    """Return the three comparisons, their models made in the cache where they are missing."""
    made = []
    for name, limit, make in (
        ("tiny-instruct", 28, _tiny),
        ("7.3M", 64, _ending),
        ("7.3M, none ends early", 64, _endless),
    ):
        folder = cache / name.replace(" ", "-").replace(",", "")
        prompts = "tiny-mixed" if make is _tiny else str(folder / "prompts.jsonl")
        size = Size(name, limit, prompts, folder)
        if not size.prompt_ids.exists():
            _make(size, make)
        made.append(size)
    return made


def _make(size: Size, policy: Callable[[Size], None]) -> None:
    size.folder.mkdir(parents=True, exist_ok=True)
    policy(size)
    reward = new_reward_model(size.policy / "model", layers=None, seed=0)
    save_model(reward.model, reward.tokenizer, size.reward / "model")
    scale = {"gain": 1.0, "bias": 0.0, "raw_mean": None, "raw_std": None}
    scale["layers"] = reward.model.config.num_hidden_layers
    (size.reward / "reward.json").write_text(json.dumps(scale))
    boundary = load_policy(size.policy / "model").boundary
    prompts = load_prompts(size.prompts, examples=PROMPTS, seed=0)
    ids = [boundary.prompt_ids(prompt.messages) for prompt in prompts]
    size.prompt_ids.write_text(json.dumps(ids))


def _tiny(size: Size) -> None:
    """Train the embedded world's base model and its SFT model, as the quickstart does."""
    for stage, run, config, inputs in (
        ("model", base.run, EmbeddedModelConfig(), {}),
        (
            "policy",
            sft.run,
            SftConfig(
                dataset="tiny-demonstrations", examples=3000, batch_size=16, learning_rate=1e-3
            ),
            {"model": size.folder / "model"},
        ),
    ):
        for folder in (size.folder / stage, size.folder / "scratch"):
            folder.mkdir(exist_ok=True)
        run(Workspace(stage, config, inputs, size.folder / stage, size.folder / "scratch"))


def _endless(size: Size) -> None:
    _random(size, end_logit=-20.0)


def _ending(size: Size) -> None:
    # A random policy's other logits have about the sum of a flat distribution; 28 is the mean of
    # a geometric distribution cut at 64 whose end has this probability.
    _random(size, end_logit=_logit_of(0.0322))


def _logit_of(probability: float) -> float:
    odds = torch.tensor(probability / (1.0 - probability) * (VOCABULARY - 1))
    return float(odds.log())


def _random(size: Size, *, end_logit: float) -> None:
    """Save a random policy whose end token has one logit in every state, and random prompts.

    One residual dimension is constant and nothing writes into it, so that the head can read it.
    """
    model = common.policy(VOCABULARY)
    constant = 10.0
    with torch.no_grad():
        inner, head = model.model, model.lm_head.weight
        inner.embed_tokens.weight[:, 0] = constant
        for layer in inner.layers:
            layer.self_attn.o_proj.weight[0] = 0.0
            layer.mlp.down_proj.weight[0] = 0.0
        head[2] = 0.0
        head[:, 0] = 0.0
        states = inner(input_ids=torch.arange(4, 260)[None]).last_hidden_state
        head[2, 0] = end_logit / states[..., 0].mean()
    save_model(model, common.tokenizer(VOCABULARY), size.policy / "model")
    Boundary(common.tokenizer(VOCABULARY))
    draw = random.Random(0)
    with open(size.prompts, "w", encoding="utf-8") as file:
        for _ in range(PROMPTS):
            n = max(2, round(draw.lognormvariate(0.0, common.SPREAD) * common.MEDIAN_PROMPT))
            words = [f"w{draw.randrange(VOCABULARY - 4)}" for _ in range(min(n, 128))]
            file.write(json.dumps({"prompt": " ".join(words)}) + "\n")
