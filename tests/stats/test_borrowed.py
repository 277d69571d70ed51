from __future__ import annotations

import math

import numpy as np
import pytest

from ablate.stats.borrowed import borrowed_difference, pooled_overlap, pooled_seed_sd
from ablate.stats.crossed import Arm, item_difference
from ablate.stats.estimate import Claim


def arms(seeds: int = 1) -> tuple[Arm, Arm]:
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(seeds, 100)) for _ in range(2)]
    return Arm({"all": rows[0]}, {"all": 1.0}), Arm({"all": rows[1]}, {"all": 1.0})


def test_the_pooled_sd_weighs_cells_by_their_degrees() -> None:
    """Squares 2 and 8 about the means 1 and 4, on 1 and 2 degrees: sqrt(10 / 3)."""
    sd, degrees = pooled_seed_sd([[0.0, 2.0], [2.0, 4.0, 6.0], [7.0]])
    assert sd == pytest.approx(math.sqrt(10 / 3)) and degrees == 3


def test_seeds_that_share_a_checkpoint_do_not_lower_the_sd() -> None:
    shared = [41.1 + 1e-14, 41.1, 41.1]
    assert pooled_seed_sd([shared, [0.0, 2.0]]) == pooled_seed_sd([[0.0, 2.0]])
    assert math.isnan(pooled_seed_sd([shared])[0]) and pooled_seed_sd([shared])[1] == 0
    assert math.isnan(pooled_seed_sd([[1.0], []])[0])


def test_an_undefined_score_is_left_out_of_its_cell() -> None:
    assert pooled_seed_sd([[0.0, math.nan, 2.0]]) == pooled_seed_sd([[0.0, 2.0]])


def test_the_borrowed_error_adds_the_seed_part_to_the_items() -> None:
    treatment, control = arms()
    items = item_difference(treatment, control)
    found = borrowed_difference(treatment, control, seed_sd=0.2, degrees=4)
    assert found.standard_error == pytest.approx(math.sqrt(items.standard_error**2 + 2 * 0.2**2))
    parts = (items.standard_error**2, 0.08)
    expected = sum(parts) ** 2 / (parts[0] ** 2 / 99 + parts[1] ** 2 / 4)
    assert found.degrees == pytest.approx(expected)
    assert found.claim is Claim.RECIPE and found.value == items.value


def test_a_declared_sd_costs_no_degrees_and_a_missing_one_gives_no_interval() -> None:
    declared = borrowed_difference(*arms(), seed_sd=50.0, degrees=math.inf)
    assert declared.degrees > 1e6
    assert not borrowed_difference(*arms(), seed_sd=math.nan, degrees=0.0).defined


def test_more_seeds_a_side_share_the_borrowed_spread() -> None:
    three = borrowed_difference(*arms(3), seed_sd=10.0, degrees=math.inf)
    assert three.standard_error == pytest.approx(10 * math.sqrt(2 / 3), rel=1e-3)


def test_what_items_add_to_the_spread_over_seeds_counts_once() -> None:
    """Seeds without an effect of their own: with the overlap the interval is that over items."""
    rng = np.random.default_rng(1)
    cells = [Arm({"all": rng.normal(size=(5, 400))}, {"all": 1.0}) for _ in range(40)]
    sd, degrees = pooled_seed_sd([list(cell.seed_scores) for cell in cells])
    overlap = pooled_overlap(cells)
    # Nothing but noise of SD 1 on 400 items: both are 1 / 400.
    assert sd**2 == pytest.approx(1 / 400, rel=0.25) and overlap == pytest.approx(1 / 400, rel=0.02)
    pair = [Arm({"all": rng.normal(size=(1, 400))}, {"all": 1.0}) for _ in range(2)]
    plain = borrowed_difference(pair[0], pair[1], seed_sd=sd, degrees=degrees)
    once = borrowed_difference(pair[0], pair[1], seed_sd=sd, degrees=degrees, overlap=overlap)
    assert plain.standard_error == pytest.approx(math.sqrt(4 / 400), rel=0.1)
    assert once.standard_error == pytest.approx(math.sqrt(2 / 400), rel=0.1)


def test_cells_with_one_seed_know_nothing_of_the_overlap() -> None:
    assert pooled_overlap(arms(1)) == 0.0
