"""Which fields a cell depends on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ablate.spec.fields import ALGORITHMS


def uses(overrides: Mapping[str, object], path: str) -> bool:
    """Return whether a trained cell with these overrides depends on ``path`` at all."""
    section, _, name = path.partition(".")
    algorithm = overrides.get("algorithm")
    if algorithm is None:
        return section in ("model", "sft", "evaluation", "preset", "algorithm") and not (
            section == "sft" and "sft" in overrides and bool(name)
        )
    if section == "sft":
        return not name or "sft" not in overrides
    if section in ("dataset", "preferences"):
        own = overrides.get("reward_model.dataset") is not None
        prompts = overrides.get("prompts", "dataset") == "dataset"
        return algorithm == "dpo" or prompts or not own or section == "preferences"
    if section in ("prompts", "reward_model", "reward_evaluation"):
        return algorithm == "ppo"
    if section == "policy":
        return name.partition(".")[0] in ALGORITHMS[str(algorithm)].model_fields
    if section in ALGORITHMS:
        return section == algorithm
    return True


@cache
def reaches_row(path: str) -> bool:
    """Return whether a starting point without a policy can depend on ``path``."""
    return path.partition(".")[0] in ("model", "preset", "sft", "evaluation")
