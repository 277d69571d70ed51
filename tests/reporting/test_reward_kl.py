"""Proxy and gold against √KL: every online cell, on numbers that the artifacts have."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ablate.reporting.findings import analyse
from ablate.reporting.over_optimization import (
    reward_kl,
    reward_kl_table,
    rewards_of,
)
from ablate.reporting.records import StudyRecord
from ablate.reporting.short_names import short_names

from . import builders


def test_a_path_is_the_rollouts_of_each_seed_over_root_kl(ladder_study: StudyRecord) -> None:
    found = analyse(ladder_study)
    shown = rewards_of(found)
    assert shown is not None
    names = [path.cell for path in shown.paths]
    assert names == ["DPO → PPO", "+ larger reward model", "+ more prompts", "KL off"]
    path = shown.paths[3]
    run = ladder_study.runs_of("KL off")[0]
    curve = found.evidence.curve(run)
    assert curve is not None and len(path.gold.seeds) == 3
    distance, gold = path.gold.seeds[0]
    assert distance == pytest.approx(np.sqrt(curve.metrics["kl_per_sequence"]))
    assert gold == pytest.approx(curve.metrics["gold"])


def test_the_thick_line_begins_at_the_first_rollout_and_joins_means_of_the_others(
    ladder_study: StudyRecord,
) -> None:
    """32 steps: the first, then 31 in 10 stretches."""
    found = analyse(ladder_study)
    shown = rewards_of(found)
    assert shown is not None
    side = shown.paths[0].proxy
    assert len(side.mean[0]) == 11
    assert side.mean[1][0] == pytest.approx(np.mean([reward[0] for _, reward in side.seeds]))
    assert side.mean[1][1] == pytest.approx(np.mean([reward[1:5] for _, reward in side.seeds]))


def test_the_fitted_peak_of_gold_is_found_where_the_penalty_is_off(
    ladder_study: StudyRecord,
) -> None:
    """Gold there is 0.47 + 0.5 t - 0.7 t², highest at t = 0.36, where KL is 24 * 0.36 = 8.6.

    That is no curve of the fitted form, so the peak is near and its interval need not hold it.
    """
    shown = rewards_of(analyse(ladder_study))
    assert shown is not None
    fit = shown.paths[3].gold.fit
    assert fit is not None and fit.peak.defined
    assert fit.peak.value == pytest.approx(math.sqrt(8.6), rel=0.2)
    assert fit.peak.low < fit.peak.value < fit.peak.high


def test_best_of_n_stands_at_its_analytic_divergence(ladder_study: StudyRecord) -> None:
    """KL of best of 4 is ln 4 - 3/4 = 0.6363 nats (statistics_and_reports 2.9)."""
    shown = rewards_of(analyse(ladder_study))
    assert shown is not None
    best = shown.best[0]
    assert best.sizes == (1, 2, 4, 8)
    assert best.distance[2] ** 2 == pytest.approx(0.6363, abs=1e-4)
    assert best.gold[2] == pytest.approx(0.47 + 0.2 + 0.02 * 0.3)
    assert "4 distances" in best.fit.refused


def test_the_table_has_the_gap_at_the_end_and_says_why_a_fit_is_missing(
    ladder_study: StudyRecord,
) -> None:
    """Gains by hand: the mean of the last 3 of 32 rollouts minus the first, a seed at a time."""
    found = analyse(ladder_study)
    table = reward_kl_table(found)
    shown = rewards_of(found)
    assert table is not None and shown is not None
    path = shown.paths[3]
    gains = [
        np.mean([reward[-3:].mean() - reward[0] for _, reward in side.seeds])
        for side in (path.proxy, path.gold)
    ]
    row = table.rows[3]
    assert [row[2].sort, row[3].sort] == pytest.approx(gains)
    assert row[4].sort == pytest.approx(gains[0] - gains[1])
    assert row[9].sort is not None and row[9].sub.startswith("[")
    assert table.rows[0][9].text in ("none", "–", "outside the data")


def test_the_figure_names_every_cell_and_what_its_fit_is(ladder_study: StudyRecord) -> None:
    drawing = reward_kl(analyse(ladder_study))
    assert drawing is not None
    svg = drawing.svg.decode()
    for name in ("DPO → PPO", "+ larger reward model", "KL off", "fitted peak", "best of N"):
        assert name in svg
    assert "Gao" in drawing.caption and "KL off, gold from" in drawing.alt


def test_one_seed_draws_no_interval_and_no_online_cell_draws_nothing(
    one_seed_study: StudyRecord, tmp_path: Path
) -> None:
    found = analyse(one_seed_study)
    shown = rewards_of(found)
    assert shown is not None
    assert all(path.gold.fit and not path.gold.fit.peak.defined for path in shown.paths)
    assert reward_kl(found) is not None
    fakes = [builders.Fake("SFT", {}, kind="sft"), builders.Fake("d", {"algorithm": "dpo"})]
    offline = builders.study_of(tmp_path, fakes, builders.Size(seeds=2, items=4))
    assert reward_kl(analyse(offline)) is None
    assert reward_kl_table(analyse(offline)) is None


def test_without_gold_the_right_side_is_the_evaluation(tmp_path: Path) -> None:
    """Rollouts on real prompts have no gold reward; the score at the evaluation's KL stands in."""
    levels = {"algorithm": "ppo"}
    fakes = [builders.Fake("SFT", {}, kind="sft"), builders.Fake("p", levels)]
    study = builders.study_of(tmp_path, fakes, builders.Size(seeds=2, items=4))
    for path in (tmp_path / "policy").glob("*/metrics.jsonl"):
        path.write_text(path.read_text().replace('"gold"', '"other"'))
    found = analyse(study)
    shown = rewards_of(found)
    assert shown is not None and not shown.in_training
    distance, score = shown.paths[0].gold.mean
    kl = found.evidence.values("p", "kl_per_sequence_nats")
    assert distance[0] == pytest.approx(np.mean([math.sqrt(value) for value in kl.values()]))
    assert score[0] == pytest.approx(np.mean(list(found.evidence.values("p", "average").values())))
    drawing = reward_kl(found)
    assert drawing is not None and "No gold reward is known" in drawing.caption
    assert reward_kl_table(found) is None


def test_short_names_tell_cells_apart_or_are_the_names(grid_study: StudyRecord) -> None:
    found = analyse(grid_study)
    cells = ["ppo human-noisy", "ppo ai-fine"]
    assert list(short_names(found, cells).values()) == ["human-noisy", "ai-fine"]
    ladder = replace(found, study=replace(grid_study, design="cells"))
    assert short_names(ladder, cells) == {cell: cell for cell in cells}
