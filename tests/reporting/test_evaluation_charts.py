"""Win rates against length, and scores over epochs with what they should be compared to."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ablate.reporting.evaluation_figures import epoch_trace, epochs, win_rates
from ablate.reporting.figures.epochs import EpochTrace, Panel, draw_epochs
from ablate.reporting.figures.win_rates import Point, draw_win_rates
from ablate.reporting.findings import analyse
from ablate.reporting.records import StudyRecord

from . import suite_builders

NAN = math.nan


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    cells = {
        "SFT": suite_builders.Cellular(words=110),
        "one": suite_builders.Cellular({"alpaca-eval": 0.2}, words=150),
        "two": suite_builders.Cellular({"alpaca-eval": 0.3}, words=230),
    }
    study = suite_builders.suite_study(tmp_path_factory.mktemp("judged"), cells)
    levels = {
        "SFT": {},
        "one": {"algorithm": "dpo", "dataset": "web"},
        "two": {"algorithm": "ppo", "dataset": "ai"},
    }
    return replace(study, runs=tuple(replace(r, levels=levels[r.cell]) for r in study.runs))


def test_win_rates_are_the_metrics_and_colours_say_the_factors(judged: StudyRecord) -> None:
    found = analyse(judged)
    drawing = win_rates(found)
    assert drawing is not None
    rate = sum(found.evidence.values("two", "alpaca-eval_win_rate").values()) / 2
    said = f"two {rate:.1f} % at 2.30 times, {rate - 4:.1f} % length-controlled (n = 40)"
    assert said in drawing.alt
    svg = drawing.svg.decode()
    assert all(f">{word}<" in svg for word in ("dpo", "ppo", "web", "ai", "SFT"))


def _point(cell: str, ratio: float, rate: float, **more: object) -> Point:
    return Point(cell, ratio, rate, NAN, False, **more)  # type: ignore[arg-type]


def test_sizes_and_published_numbers_are_told_where_there_are_any() -> None:
    plain = draw_win_rates([("T", [_point("a", 1, 50), _point("b", 2, 60)])], "w")
    assert "area" not in plain.caption and "published" not in plain.caption
    points = [
        _point("a", 1, 50, verdicts=100),
        _point("b", 2, 60, verdicts=805, published=True),
    ]
    both = draw_win_rates([("T", points)], "w")
    assert "area of a mark" in both.caption and "Dark edges: published" in both.caption
    assert "b [published] 60.0 % at 2.00 times (n = 805)" in both.alt


def test_extremes_of_a_win_rate_are_inside_the_axes() -> None:
    points = [_point("none", 0.2, 0.0), _point("all", 9.0, 100.0)]
    assert draw_win_rates([("T", points)], "w").svg


def test_an_epochs_band_is_the_range_of_seeds_with_chance_and_target(tmp_path: Path) -> None:
    study = suite_builders.suite_study(
        tmp_path, {"SFT": suite_builders.Cellular(), "DPO": suite_builders.Cellular()}
    )
    found = analyse(suite_builders.add_epochs(study, tmp_path, [0.1, 0.3]))
    drawing = epochs(found)
    trace = epoch_trace(found, "DPO", ["average"])
    assert drawing is not None and trace is not None
    means = trace.values["average"].mean(axis=0)
    assert f"Average (%) of DPO: {means[0]:.3g} at 1, {means[1]:.3g} at 2" in drawing.alt
    assert "bands their range" in drawing.caption and "Dotted: the score" in drawing.caption


def test_a_target_band_is_drawn_and_explained() -> None:
    trace = EpochTrace("a", np.array([1.0, 2.0]), {"toxigen": np.array([[30.0, 3.0]])})
    panel = Panel("toxigen", "ToxiGen (%)", band=(0.5, 5.0))
    drawing = draw_epochs([trace], [panel], "epochs")
    assert "Grey: the task's target band" in drawing.caption
    assert "Dotted" not in drawing.caption
