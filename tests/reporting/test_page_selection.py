"""What the page holds of outputs, and that counts do not depend on it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.reporting.browser.data import Browser, browser_of
from ablate.reporting.browser.outcomes import RIGHT, TIE, WRONG, Column, TaskBoard, pair_table
from ablate.reporting.browser.plain import script_json, shortened, visible
from ablate.reporting.browser.selection import chosen_cells, chosen_items
from ablate.reporting.findings import Findings, analyse
from ablate.reporting.records import StudyRecord

from .suite_builders import Cellular, suite_study

SEEDS = {"A": (0,), "B": (0,)}


def column(outcomes: Sequence[Sequence[int]]) -> Column:
    """Return a column of seeds by items, with keys ``h00/0`` and so on."""
    found = np.array(outcomes, np.int8)
    keys = tuple(f"h{place:02}/{place}" for place in range(found.shape[1]))
    return Column(keys, keys, found.astype(float), found)


def board(
    a: Sequence[Sequence[int]], b: Sequence[Sequence[int]], kind: Any = "binary"
) -> TaskBoard:
    return TaskBoard("task", ("", "task"), "main", kind, {"A": column(a), "B": column(b)})


@pytest.fixture(scope="module")
def grid_findings(grid_study: StudyRecord) -> Findings:
    return analyse(grid_study)


def tasks_of(browser: Browser | None) -> list[dict[str, Any]]:
    assert browser is not None
    found: list[dict[str, Any]] = json.loads(browser.data)["tasks"]
    return found


def test_items_that_a_pair_disagrees_on_come_first_and_steady_flips_before_them() -> None:
    # Items 3, 5 and 7 differ under the first seed; 7 under both.
    a = [[1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1, 1]]
    b = [[1, 1, 1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1, 1, 0]]
    seeds = {"A": (0, 1), "B": (0, 1)}
    task = board(a, b)
    keys = chosen_items(task, [("A", "B")], places=5, seeds=seeds, draw="study")
    assert keys[0] == "h07/7" and set(keys[:3]) == {"h03/3", "h05/5", "h07/7"} and len(keys) == 5
    assert keys == chosen_items(task, [("A", "B")], places=5, seeds=seeds, draw="study")
    others = {
        tuple(chosen_items(task, [("A", "B")], places=5, seeds=seeds, draw=str(draw))[3:])
        for draw in range(20)
    }
    assert len(others) > 1


def test_a_share_of_the_places_is_left_to_items_that_agree() -> None:
    task = board([[1] * 40], [[0] * 30 + [1] * 10])
    keys = chosen_items(task, [("A", "B")], places=10, seeds=SEEDS, draw="study")
    differ = [key for key in keys if int(key.partition("/")[2]) < 30]
    assert len(keys) == 10 and 7 <= len(differ) < 10 and differ[:7] == keys[:7]


def test_cells_of_compared_pairs_come_before_others() -> None:
    cells = [f"cell {number}" for number in range(40)]
    pairs = [("cell 39", "cell 20"), ("cell 39", "cell 21")]
    kept = chosen_cells(cells, pairs)
    assert len(kept) == 12 and kept[-3:] == ("cell 20", "cell 21", "cell 39")


def test_ties_and_missing_scores_stand_outside_the_table() -> None:
    judged = board([[RIGHT, TIE, WRONG, 3]], [[WRONG, RIGHT, WRONG, RIGHT]], "judged")
    table = pair_table(judged, "A", "B", seeds=SEEDS)
    assert table is not None
    counts = (table.only_a, table.only_b, table.both, table.neither, table.ties, table.unscored)
    assert counts == (1, 0, 0, 1, 1, 1)
    # (0 + 1 - 1 - 1) / (2 + 2), of the two items that were decided.
    assert table.difference.value == pytest.approx(-1 / 4) and table.p_value == 1.0


def test_grades_are_compared_and_not_called_right() -> None:
    grades = board([[5, 5, 5, 5, 5]], [[7, 6, 5, 9, 8]], "points")
    table = pair_table(grades, "A", "B", seeds=SEEDS)
    assert table is not None and (table.only_a, table.only_b, table.ties) == (0, 4, 1)
    # Four of four: 2 * (1/2)^4. Mean difference (2 + 1 + 0 + 4 + 3) / 5.
    assert table.p_value == 0.125 and table.difference.value == 2.0
    assert math.isnan(table.difference.low)


def test_items_of_one_side_only_are_counted_apart() -> None:
    a, b = column([[1, 0, 1]]), column([[1, 1, 1, 0]])
    task = TaskBoard("task", ("", "task"), "main", "binary", {"A": a, "B": b})
    table = pair_table(task, "A", "B", seeds=SEEDS)
    assert table is not None and table.unpaired == 1
    assert (table.only_a, table.only_b, table.both, table.neither) == (0, 1, 2, 0)


def test_counts_are_of_all_items_however_few_the_page_holds(grid_findings: Findings) -> None:
    whole, small = browser_of(grid_findings), browser_of(grid_findings, budget=60_000)
    assert whole is not None and small is not None and len(small.data.encode()) < 70_000
    cells = [json.loads(browser.data)["cells"] for browser in (whole, small)]
    assert len(cells[0]) == 9 and len(cells[1]) == 4  # Fewer cells rather than very few items.
    assert "; 5 more have outputs" in small.notes[-1]
    for all_items, some in zip(tasks_of(whole), tasks_of(small), strict=True):
        for pair, numbers in some["pairs"].items():
            there = sorted(cells[0].index(cells[1][int(place)]) for place in pair.split(","))
            assert all_items["pairs"]["{},{}".format(*there)] == numbers
        assert len(all_items["items"]) == 64 and 10 < len(some["items"]) < 40


def test_a_lower_is_better_task_is_right_where_it_scores_0(tmp_path: Path) -> None:
    cells = {"A": Cellular(), "B": Cellular(gain={"toxigen": 0.5})}
    study = suite_study(tmp_path, cells)
    tasks = {task["name"]: task for task in tasks_of(browser_of(analyse(study)))}
    toxic = tasks["toxigen"]
    for item in toxic["items"]:
        for side in item["c"].values():
            assert side["z"][0] == ("w" if side["s"] == 1 else "r")
    assert toxic["pairs"]["0,1"][0] > toxic["pairs"]["0,1"][1]  # B, more toxic, is right less.
    assert tasks["mt-bench"]["kind"] == "points" and tasks["alpaca-eval"]["kind"] == "judged"


def test_text_that_hides_or_turns_is_written_as_code_points() -> None:
    assert visible("a\0b\u202ec\r\nd\te\ud83d\ufeff") == "a<U+0000>b<U+202E>c\nd\te<U+D83D><U+FEFF>"
    assert shortened("y" * 3000) == ("y" * 2000, 3000)
    assert shortened(None) == ("", 0)


def test_json_in_a_script_has_no_markup_and_no_nan() -> None:
    value = {"a": "</script>&\u2028", "b": [math.nan, math.inf, 1.5], "c": "\ud800"}
    text = script_json(value)
    assert not set("<>&\u2028\ud800") & set(text)
    assert json.loads(text) == {"a": "</script>&\u2028", "b": [None, None, 1.5], "c": "\ud800"}
