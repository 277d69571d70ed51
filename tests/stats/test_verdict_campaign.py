"""A short form of scripts/campaigns/verdicts.py; its full tables are beside it."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ablate.stats.crossed import crossed_difference, matched_difference
from ablate.stats.power import planned_effect

SCRIPT = Path(__file__).parents[2] / "scripts" / "campaigns" / "verdicts.py"
STUDIES = 250


@pytest.fixture(scope="module")
def campaign() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verdict_campaign", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Its dataclasses look their module up.
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_a_true_null_is_seldom_called_a_difference(campaign: ModuleType, seeds: int) -> None:
    world = campaign.World((500,), campaign.SEED_SDS[2])
    null = campaign.tallied(world, seeds, STUDIES, points=0.0, difference=crossed_difference)
    assert null.rates[0] <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_stated_detectable_difference_is_found(campaign: ModuleType, seeds: int) -> None:
    world = campaign.World((84,) * 6, campaign.SEED_SDS[1])
    stated = planned_effect(world.items, seeds, assumptions=world.truth)
    found = campaign.tallied(world, seeds, STUDIES, points=stated, difference=crossed_difference)
    assert found.rates[0] >= 0.8 - 3 * math.sqrt(0.8 * 0.2 / STUDIES)
    assert found.rates[1] >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / STUDIES)


def test_matched_seeds_call_a_true_null_as_seldom_and_find_more(campaign: ModuleType) -> None:
    world = campaign.World((500,), 0.0, common_sd=campaign.SEED_SDS[2])
    rates = {
        (difference, points): campaign.tallied(
            world, 3, STUDIES, points=points, difference=difference
        ).rates[0]
        for difference in (crossed_difference, matched_difference)
        for points in (0.0, 5.0)
    }
    assert rates[matched_difference, 0.0] <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)
    assert rates[matched_difference, 5.0] > rates[crossed_difference, 5.0] + 0.1


def test_the_committed_tables_keep_every_promise() -> None:
    text = (SCRIPT.parent / "results" / "verdicts.md").read_text(encoding="utf-8")
    assert "--studies 2000" in text and "✗\n" not in text
