"""Accuracy of reward models against what becomes of their policies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ablate.reporting.block_tables import reward_score
from ablate.reporting.effects import score_of
from ablate.reporting.figures.reward_policy import Outcome, Panel, draw_reward_policy
from ablate.reporting.findings import analyse
from ablate.reporting.records import StudyRecord
from ablate.reporting.reward_outcome import panels_of, reward_policy, sentences
from ablate.stats.estimate import Estimate

from . import suite_builders

NAN = float("nan")
TABLE_3 = {
    "13B UltraF.": (61.0, 56.9),
    "13B Mix": (79.8, 58.3),
    "70B UltraF.": (73.6, 61.1),
    "70B Mix": (73.9, 60.6),
}
"""RewardBench and best-of-N of Ivison et al. 2024, Table 3."""


def _panel(rows: dict[str, tuple[float, float]]) -> Panel:
    points = [
        Outcome(name, Estimate(x, NAN, NAN), Estimate(y, NAN, NAN)) for name, (x, y) in rows.items()
    ]
    return Panel("RewardBench", "best of N", tuple(points), "")


def test_the_papers_reward_models_decouple() -> None:
    """Ranks 1 4 2 3 and 1 2 4 3: squared differences 0 + 4 + 4 + 0, rho = 1 - 6 * 8 / 60 = 0.2."""
    (said,) = sentences([_panel(TABLE_3)])
    assert "RewardBench and best of N of 4 reward models: rank correlation +0.20" in said
    assert "they decouple" in said and "92 % of random orders" in said and "(n = 4)" in said


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"a": (1, 1), "b": (2, 2)}, "undefined below 3"),
        ({"a": (1, 1), "b": (2, 1), "c": (3, 1)}, "does not differ"),
        ({"a": (1, 1), "b": (2, 2), "c": (3, 3)}, "order the models alike; 33 %"),
        ({"a": (1, 1), "b": (2, 3), "c": (3, 2)}, "alike in part"),
        ({"a": (1, 3), "b": (2, 2), "c": (3, 1)}, "the other way round; 33 %"),
    ],
)
def test_every_agreement_has_its_sentence(rows: dict[str, tuple[float, float]], said: str) -> None:
    assert said in sentences([_panel(rows)])[0]


def test_a_line_is_drawn_from_five_points_on() -> None:
    """A dashed grey line is the only path with that stroke."""
    four = draw_reward_policy([_panel(TABLE_3)], "reward-outcome", caption="c")
    five = draw_reward_policy(
        [_panel({**TABLE_3, "8B": (70.0, 59.0)})], "reward-outcome", caption="c"
    )
    assert b"stroke-dasharray" not in four.svg and b"stroke-dasharray" in five.svg
    assert all(name in four.svg.decode() for name in TABLE_3)


def test_points_are_the_tables_scores(reward_study: StudyRecord) -> None:
    found = analyse(reward_study)
    best, policy = panels_of(found)
    assert best.accuracy == "pair accuracy (%)" and best.outcome == "best of 8 (gold reward)"
    assert policy.outcome == "policy: Average (%)"
    assert len(policy.points) == 6
    cell = "ai-fine, large RM"
    point = policy.points[5]
    assert point.accuracy == reward_score(found, cell, "accuracy")
    assert point.outcome == score_of(found.evidence, cell, "average")
    drawing = reward_policy(found)
    assert drawing is not None and "least squares" in drawing.caption


def test_a_benchmark_of_reward_models_comes_before_pair_accuracy(tmp_path: Path) -> None:
    study = suite_builders.suite_study(
        tmp_path, {"SFT": suite_builders.Cellular(), "DPO": suite_builders.Cellular()}, items=16
    )
    study = suite_builders.add_rewards(study, tmp_path, {"SFT": 60.0, "DPO": 75.0})
    panels = panels_of(analyse(study))
    assert panels[0].accuracy.startswith("RewardBench")
    # The builder's benchmark is 5 points above the accuracy, its best-of-8 one minus it.
    assert [p.name for p in panels[0].points] == ["SFT", "DPO"]
    assert [p.accuracy.value for p in panels[0].points] == pytest.approx([65, 80])
    assert [p.outcome.value for p in panels[0].points] == pytest.approx([0.4, 0.25])


def test_one_reward_model_or_none_draws_nothing(
    reward_study: StudyRecord, grid_study: StudyRecord
) -> None:
    assert reward_policy(analyse(grid_study)) is None
    cells = ("SFT", "ai-fine, large RM")
    runs = tuple(run for run in reward_study.runs if run.cell in cells)
    assert reward_policy(analyse(replace(reward_study, cells=cells, runs=runs))) is None
