"""Tasks whose score means little without a level beside it: chance, or a band on both sides."""

from __future__ import annotations

import math

from ablate.reporting import text
from ablate.reporting.contrasts import baseline_cell
from ablate.reporting.effects import score_of
from ablate.reporting.figures.save import Drawing
from ablate.reporting.figures.task_levels import Level, TaskPanel, draw_task_levels
from ablate.reporting.findings import Findings
from ablate.reporting.flags import at_chance

MOST = 4
"""Panels of one figure."""


def task_levels(found: Findings) -> Drawing | None:
    """Return the tasks with a target band, then those on which a cell is not above chance."""
    panels = panels_of(found)
    if not panels:
        return None
    shown = panels[:MOST]
    caption = (
        "Scores with 95 % intervals; arrows lead from the baseline. Dotted: the score of a policy"
        " that knows nothing; a score whose interval reaches it is not above chance. Grey: the"
        " task's target band; hollow marks lie outside it, on either side a finding."
    )
    if len(panels) > len(shown):
        caption += f" The first {len(shown)} of {len(panels)} such tasks are drawn."
    return draw_task_levels(shown, "task-levels", caption=caption)


def panels_of(found: Findings) -> list[TaskPanel]:
    """Return a panel for each task in percent that needs its level beside it."""
    tasks, metrics = found.evidence.tasks, found.evidence.metrics
    names = [n for n in found.evidence.scored_tasks if metrics[n].unit == "percent"]
    banded = [name for name in names if tasks[name].band is not None]
    weak = [name for name in names if name not in banded and _is_weak(found, name)]
    return [_panel(found, name) for name in (*banded, *weak)]


def _is_weak(found: Findings, name: str) -> bool:
    metric, chance = found.evidence.metrics[name], found.evidence.tasks[name].chance
    if not chance:
        return False
    scores = (score_of(found.evidence, cell, name) for cell in _cells(found))
    lower = metric.direction == "lower"
    return any(at_chance(score, chance, items=metric.n_items, lower=lower) for score in scores)


def _cells(found: Findings) -> list[str]:
    return [cell for cell in found.study.cells if not found.evidence.invalid(cell)]


def _panel(found: Findings, name: str) -> TaskPanel:
    metric, task = found.evidence.metrics[name], found.evidence.tasks[name]
    start = baseline_cell(found.study)
    first = math.nan if start is None else score_of(found.evidence, start, name).value
    levels = [
        Level(cell, score, math.nan if cell == start else first)
        for cell in _cells(found)
        if math.isfinite((score := score_of(found.evidence, cell, name)).value)
    ]
    title = text.heading(metric) + (" ↓" if metric.direction == "lower" else "")
    return TaskPanel(title, tuple(levels), task.chance or math.nan, task.band)
