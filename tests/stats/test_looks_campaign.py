"""A short form of scripts/campaigns/looks.py; its full tables are beside it."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ablate.stats.sequential import Looks

SCRIPT = Path(__file__).parents[2] / "scripts" / "campaigns" / "looks.py"
STUDIES = 120


@pytest.fixture(scope="module")
def campaign() -> ModuleType:
    spec = importlib.util.spec_from_file_location("looks_campaign", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Its dataclasses look their module up.
    spec.loader.exec_module(module)
    return module


def test_a_family_whose_comparisons_stop_at_different_looks_keeps_alpha(
    campaign: ModuleType,
) -> None:
    world = campaign.World((100,), campaign.SEED_SDS[2])
    studies = list(campaign.drawn(world, [1], STUDIES, treatments=3))
    for spend in campaign.SPENDS:
        # A margin of 14 points: many comparisons end as equivalent before the last look.
        ends = [
            campaign.course(effects, Looks((3, 5, 8), spend), margin=14.0) for effects in studies
        ]
        assert sum(end.called > 0 for end in ends) / STUDIES <= campaign.most(STUDIES)
        assert 3 < sum(end.seeds for end in ends) / STUDIES < 7.9


def test_a_difference_as_large_as_the_margin_is_seldom_called_equivalent_at_any_look(
    campaign: ModuleType,
) -> None:
    world = campaign.World((100,), campaign.SEED_SDS[1])
    studies = list(campaign.drawn(world, [2], STUDIES, shift=world.shift(14.0)))
    for spend in campaign.SPENDS:
        ends = [
            campaign.course(effects, Looks((3, 5, 8), spend), margin=14.0) for effects in studies
        ]
        assert sum(end.equivalent for end in ends) / STUDIES <= campaign.most(STUDIES)


def test_looking_without_levels_calls_far_too_much(campaign: ModuleType) -> None:
    levels = campaign.every_level((3, 5, 8))
    rng = campaign.np.random.default_rng(3)
    p_values = campaign.t_p_values(rng, (3, 5, 8), 3000, sides=1)

    def called(name: str) -> float:
        return float((p_values < campaign.np.array(levels[name])[:, None]).any(0).mean())

    # 0.05 and three standard errors at 3,000 studies.
    bound = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 3000)
    assert called("none") > 0.09
    assert max(called("even"), called("obrien-fleming")) <= bound
