"""Quality against cost, length and distance: what each cell took for what it reached."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ablate.reporting import text
from ablate.reporting.contrasts import Contrast, baseline_cell
from ablate.reporting.costs import UNITS
from ablate.reporting.effects import effect_rows, score_of
from ablate.reporting.figures.curves import mean_curve
from ablate.reporting.figures.pareto import (
    Panel,
    Spot,
    Standing,
    Texts,
    draw_pareto,
    frontier_of,
)
from ablate.reporting.figures.save import Drawing
from ablate.reporting.findings import Findings
from ablate.reporting.short_names import short_names
from ablate.stats.estimate import Estimate, FloatArray
from ablate.stats.seeds import seed_score

ALONG = ("length_tokens", "kl_per_sequence_nats")
"""Diagnostics that quality is drawn against beside costs; less of either is preferred."""


def quality_metric(found: Findings) -> str:
    """Return what quality is: the gold reward where there is one, else the primary metric."""
    return "gold" if "gold" in found.evidence.metrics else found.study.primary


def costs(found: Findings) -> Drawing | None:
    """Return quality against every budget that the cells differ in."""
    metric = quality_metric(found)
    panels = []
    for unit, label in UNITS.items():
        spots = [
            _spot(found, cell, metric, seed_score(list(spent.values())))
            for cell in _cells(found, metric)
            if (spent := _spent(found, cell, unit, metric))
        ]
        paths = [replace(spot, path=_path(found, spot, unit, metric)) for spot in spots]
        panels.append(Panel(label, tuple(standings(found, paths, metric))))
    known = {spot.cell for panel in panels for spot in panel.spots}
    if len(known) < 2:
        return None
    start = baseline_cell(found.study)
    texts = _texts(found, metric, title="Quality at equal cost")
    if start is not None and start not in known:
        level = score_of(found.evidence, start, metric)
        if math.isfinite(level.value):
            texts = replace(texts, start=level, start_name=start)
    more = (
        " Thin lines: the same quantity of the rollouts while an online method trained. Shared"
        " stages count in full for every arm; the base model and SFT come before all of them."
    )
    return draw_pareto(panels, "costs", texts=replace(texts, caption=texts.caption + more))


def trade_offs(found: Findings) -> Drawing | None:
    """Return quality against the length of replies and the distance from the reference."""
    metric = quality_metric(found)
    panels = []
    for name in ALONG:
        row = found.evidence.metric(name)
        if row is None:
            continue
        spots = [
            _spot(found, cell, metric, along)
            for cell in _cells(found, metric)
            if math.isfinite((along := score_of(found.evidence, cell, name)).value)
        ]
        panels.append(Panel(text.heading(row), tuple(standings(found, spots, metric))))
    if not any(len(panel.spots) > 1 for panel in panels):
        return None
    texts = _texts(found, metric, title="Quality against length and distance")
    more = (
        " Fewer tokens and a smaller KL count as taking less, so that a cell is behind the frontier"
        " where a shorter or nearer policy is shown to be better."
    )
    return draw_pareto(panels, "trade-offs", texts=replace(texts, caption=texts.caption + more))


def _cells(found: Findings, metric: str) -> list[str]:
    """Return the cells with a score that can be trusted."""
    return [
        cell
        for cell in found.study.cells
        if not found.evidence.invalid(cell)
        and math.isfinite(score_of(found.evidence, cell, metric).value)
    ]


def _spent(found: Findings, cell: str, unit: str, metric: str) -> dict[int, float]:
    scores = found.evidence.values(cell, metric)
    runs = [run for run in found.study.runs_of(cell) if run.spent and run.seed in scores]
    return {run.seed: run.spent[unit] for run in runs}


def _spot(found: Findings, cell: str, metric: str, x: Estimate) -> Spot:
    y, names = score_of(found.evidence, cell, metric), short_names(found, found.study.cells)
    return Spot(cell, names[cell], _groups(found)[cell], x, y, Standing.BEHIND)


def _groups(found: Findings) -> dict[str, str]:
    """Return by cell what its colour says: its algorithm where several differ, else the cell."""
    levels = {cell: found.study.levels_of(cell).get("algorithm") for cell in found.study.cells}
    different = {level for level in levels.values() if level}
    if len(different) < 2:
        return {cell: cell for cell in levels}
    return {cell: level or cell for cell, level in levels.items()}


def _path(
    found: Findings, spot: Spot, unit: str, metric: str
) -> tuple[FloatArray, FloatArray] | None:
    """Return what was spent and the quality then; None of a method that logs no such quality."""
    runs = [run for run in found.study.runs_of(spot.cell) if run.spent]
    curves = [curve for run in runs if (curve := found.evidence.curve(run)) is not None]
    steps, used = mean_curve(curves, f"used_{unit}")
    at, values = mean_curve(curves, metric)
    both = np.intersect1d(steps, at)
    if not len(both):
        return None
    spent = used[np.isin(steps, both)]
    # What the stages before it spent is spent from its first step on.
    return spent + spot.x.value - spent[-1], values[np.isin(at, both)]


def standings(found: Findings, spots: Sequence[Spot], metric: str) -> list[Spot]:
    """Return the spots with where they stand to the frontier.

    The rival of a cell that is not on it is the best one there that takes no more.
    """
    row = found.evidence.metric(metric)
    sign = -1.0 if row is not None and row.direction == "lower" else 1.0
    first = frontier_of([(spot.x.value, sign * spot.y.value) for spot in spots])
    leaders = [spot for spot, leads in zip(spots, first, strict=True) if leads]
    rivals = {
        spot.cell: max(
            (one for one in leaders if one.x.value <= spot.x.value),
            key=lambda one: sign * one.y.value,
        )
        for spot, leads in zip(spots, first, strict=True)
        if not leads
    }
    ahead = _ahead(found, {cell: rival.cell for cell, rival in rivals.items()}, metric, sign)
    placed = []
    for spot, leads in zip(spots, first, strict=True):
        standing = Standing.BEHIND if ahead.get(spot.cell) else Standing.TIED
        placed.append(replace(spot, standing=Standing.FRONTIER if leads else standing))
    return placed


def _ahead(found: Findings, rivals: Mapping[str, str], metric: str, sign: float) -> dict[str, bool]:
    """Return by cell whether its rival on the frontier is shown to be better."""
    contrasts = [
        Contrast("frontier", rival, cell, cell, declared=False) for cell, rival in rivals.items()
    ]
    found_rows = effect_rows(found.evidence, contrasts, [metric])
    ahead = {}
    for row in found_rows:
        low = row.shown.low if sign > 0 else -row.shown.high
        ahead[row.control] = row.shown.defined and low > 0
    return ahead


def _texts(found: Findings, metric: str, *, title: str) -> Texts:
    row = found.evidence.metric(metric)
    quality = text.label(metric) if row is None else text.heading(row)
    single = any(len(found.evidence.finished(cell)) < 2 for cell in found.study.cells)
    seeds = " (of items only with one seed)" if single else ""
    caption = (
        f"Each mark is a cell: {quality} of its evaluation, with 95 % intervals{seeds} as crosses"
        " where they are defined. The stepped line is the frontier: nothing takes less and is as"
        " good. Large open marks are not told apart from the frontier: the 95 % interval, not"
        " adjusted, of the paired difference to the best cell that takes no more holds 0, or there"
        " is none. Only the frontier is labelled, where there is room."
    )
    return Texts(title, quality, caption, tuple(_groups(found).values()))
