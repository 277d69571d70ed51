"""What a value model starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ablate.errors import StageError
from ablate.models.backbone import score_head, unwrapped
from ablate.models.boundary import Boundary
from ablate.models.loading import LoadedModel, load_reward_model, new_reward_model
from ablate.spec.stages import PpoConfig
from ablate.training.trainable import Trainable


def load_value_model(
    inputs: Mapping[str, Path], config: PpoConfig, boundary: Boundary, *, device: str
) -> Trainable:
    """Return a trainable value model apart from the policy, by ``config.value_init``.

    From the reward model it keeps the head, whose raw scores are a first guess of the value; from
    the SFT model or the policy the head starts at zero (Huang et al. 2024, arXiv:2403.17031).
    """
    if config.value_init == "reward_model":
        loaded = load_reward_model(inputs["reward_model"] / "model", device=device)
        _check_tokenizer(loaded, boundary)
    else:
        sft = config.value_init == "sft"
        folder = inputs.get("value_start" if sft else "policy", inputs["policy"]) / "model"
        loaded = new_reward_model(folder, layers=None, seed=config.seed, device=device)
        with torch.no_grad():
            score_head(loaded.model).weight.zero_()
    return Trainable.of(loaded, config)


def share_head(model: Any) -> None:
    """Add a scalar head, zero at first, to a policy, whose body then computes values as well."""
    weight = next(model.parameters())
    model.score = nn.Linear(model.config.hidden_size, 1, bias=False, device=weight.device)
    nn.init.zeros_(model.score.weight)


def drop_shared_head(model: nn.Module) -> None:
    """Take a shared head off again: it is no part of the policy."""
    plain = unwrapped(model)
    if hasattr(plain, "score"):
        del plain.score


def _check_tokenizer(loaded: LoadedModel, boundary: Boundary) -> None:
    """Values are per token, so policy and value model must cut text alike."""
    if loaded.tokenizer.get_vocab() != boundary.tokenizer.get_vocab():
        raise StageError(
            "value model: the reward model's vocabulary is not the policy's; values need the same"
            " tokens. Set value_init: sft.",
            kind="bad_data",
        )
