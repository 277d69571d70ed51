"""Who stands on the frontier, who is tied with it and who is behind."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ablate.reporting.effects import score_of
from ablate.reporting.figures.labels import spread
from ablate.reporting.figures.pareto import (
    Panel,
    Spot,
    Standing,
    Texts,
    draw_pareto,
    frontier_of,
)
from ablate.reporting.findings import analyse
from ablate.reporting.pareto import costs, standings, trade_offs
from ablate.reporting.records import StudyRecord
from ablate.stats.estimate import Estimate

from . import builders

NAN = math.nan


@pytest.fixture(scope="module")
def spending(grid_study: StudyRecord) -> StudyRecord:
    """A DPO cell takes 10 seconds and a PPO cell 40, one more for each seed."""
    runs = []
    for run in grid_study.runs:
        base = {"dpo": 10.0, "ppo": 40.0}.get(run.levels.get("algorithm", ""))
        kinds = ("preferences", "generated_tokens", "reward_calls", "seconds")
        spent = {} if base is None else {**dict.fromkeys(kinds, 1.0), "seconds": base + run.seed}
        runs.append(replace(run, spent=spent))
    return replace(grid_study, runs=tuple(runs))


def test_the_frontier_by_hand() -> None:
    """(3, 4) is beaten by (2, 5), (2, 4) by it too; of two equal points both stay."""
    points = [(1, 2), (2, 5), (3, 4), (2, 4), (4, 9), (4, 9)]
    assert list(frontier_of(points)) == [True, True, False, False, True, True]
    assert list(frontier_of([(0, 1)])) == [True]
    assert list(frontier_of([])) == []


def test_a_cell_that_cannot_be_told_from_the_frontier_is_tied(spending: StudyRecord) -> None:
    """The noisy PPO cell costs more than every DPO cell; only a shown loss puts it behind."""
    drawing = costs(analyse(spending))
    assert drawing is not None
    said = drawing.alt
    assert said.startswith("Gold reward (reward) against seconds")
    for name in ("dpo human-noisy", "dpo ai-fine", "ppo ai-fine"):
        assert f"{name} " in said
    # Seeds 0, 1, 2 take 10, 11 and 12 seconds.
    assert "dpo ai-fine" in said and " at 11 (on the frontier)" in said
    assert "preferences" not in said  # All cells read the same number.


def test_standings_follow_the_interval_of_the_paired_difference(grid_study: StudyRecord) -> None:
    """SFT takes fewest tokens; a cell with a worse score and more tokens is behind or tied."""
    found = analyse(grid_study)
    drawing = trade_offs(found)
    assert drawing is not None
    sft = score_of(found.evidence, "SFT", "gold")
    assert f"SFT {sft.value:.3g} at" in drawing.alt
    assert "(on the frontier)" in drawing.alt
    assert "shown to be better" in drawing.caption


def test_a_loss_that_is_shown_is_behind_and_a_small_one_is_tied(grid_study: StudyRecord) -> None:
    """The base model loses 1.8 logits to PPO on the best data, another PPO cell 0.15."""
    found = analyse(grid_study)
    cells = ("SFT", "ppo ai-fine", "base", "ppo ai-overall")
    spots = [
        replace(_spot(cell, at, 0), y=score_of(found.evidence, cell, "average"))
        for at, cell in enumerate(cells)
    ]
    placed = [spot.standing for spot in standings(found, spots, "average")]
    leads, tied, behind = Standing.FRONTIER, Standing.TIED, Standing.BEHIND
    assert placed == [leads, leads, behind, tied]


def test_one_seed_says_what_its_crosses_are(one_seed_study: StudyRecord) -> None:
    drawing = trade_offs(analyse(one_seed_study))
    assert drawing is not None and "of items only with one seed" in drawing.caption


def test_one_cell_and_equal_costs_draw_nothing(spending: StudyRecord) -> None:
    alone = replace(spending, cells=("dpo ai-fine",), runs=spending.runs_of("dpo ai-fine"))
    assert costs(analyse(replace(alone, baseline="dpo ai-fine"))) is None
    free = replace(spending, runs=tuple(replace(run, spent={}) for run in spending.runs))
    assert costs(analyse(free)) is None


def _spot(name: str, x: float, y: float, standing: Standing = Standing.FRONTIER) -> Spot:
    return Spot(name, name, name, Estimate(x, NAN, NAN), Estimate(y, y - 1, y + 1), standing)


def test_a_cost_of_0_and_points_on_one_spot_are_drawn() -> None:
    spots = (_spot("a", 0, 1), _spot("b", 0, 1), _spot("c", 5, 1, Standing.TIED))
    drawing = draw_pareto([Panel("tokens", spots)], "costs", texts=Texts("T", "q", "c"))
    assert drawing is not None
    svg = drawing.svg.decode()
    assert "not told apart from it" in svg and "behind it" not in svg
    same = (_spot("a", 3, 1), _spot("b", 3, 2))
    assert draw_pareto([Panel("tokens", same)], "costs", texts=Texts("T", "q", "c")) is None


def test_labels_of_a_crowd_keep_their_distance_and_order() -> None:
    """0.5, 0.5, 0.52 with at least 0.1 between: centred on their mean, 0.5067."""
    placed = spread(np.array([0.5, 0.5, 0.52, 0.9]), 0.1)
    assert placed == pytest.approx([0.40667, 0.50667, 0.60667, 0.9], abs=1e-4)
    assert spread(np.array([]), 0.1).size == 0


def test_a_missing_evaluation_leaves_the_cell_out(grid_study: StudyRecord) -> None:
    study = grid_study
    for seed in range(3):
        study = builders.unfinished(study, "ppo ai-fine", seed, "not run")
    drawing = trade_offs(analyse(study))
    assert drawing is not None and "ppo ai-fine" not in drawing.alt
