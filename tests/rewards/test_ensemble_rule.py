from __future__ import annotations

from typing import Any

import pytest

from ablate.spec.recipes import Recipe, UnresolvedError
from ablate.spec.resolve import resolve


def recipe(**reward_model: Any) -> Recipe:
    changed = {f"reward_model.{name}": value for name, value in reward_model.items()}
    return resolve({"model": "tiny-instruct", "dataset": "ai-fine", "algorithm": "ppo", **changed})


def test_members_without_a_common_scale_are_a_study_error() -> None:
    with pytest.raises(UnresolvedError, match="ensemble of 3 whose scores.*normalize: true") as bad:
        recipe(members=3, normalize=False)
    assert bad.value.path == "reward_model.members"
    assert recipe(members=3, normalize=True).reward_model is not None
    assert recipe(members=1, normalize=False).reward_model is not None
