"""The figures of evaluation, and the numbers each is drawn from."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np

from ablate.evals.reward_rules import human_agreement
from ablate.reporting import text
from ablate.reporting.block_tables import reward_score
from ablate.reporting.contrasts import baseline_cell
from ablate.reporting.figures.accuracy import Accuracy, draw_accuracy
from ablate.reporting.figures.epochs import EpochTrace, Panel, draw_epochs
from ablate.reporting.figures.save import Drawing
from ablate.reporting.figures.win_rates import Point, draw_win_rates
from ablate.reporting.findings import Findings
from ablate.reporting.records import RunRecord
from ablate.reporting.reward_models import is_of_people, reward_models
from ablate.reporting.scores_judged import WIN_RATE, comparisons
from ablate.reporting.short_names import short_names
from ablate.reporting.suite_tasks import chance_of

_EPOCH = re.compile(r"evaluation_checkpoint_(\d+)")
KL = "kl_per_sequence_nats"
MOST_SCORES = 6
"""Panels of scores by epoch."""


def win_rates(found: Findings) -> Drawing | None:
    """Return win rate against length of each task on which a judge compared two cells or more."""
    start = baseline_cell(found.study)
    names = short_names(found, found.study.cells)
    points: dict[str, list[Point]] = {}
    for one in comparisons(found):
        if math.isnan(one.length_ratio):
            continue
        levels = found.study.levels_of(one.cell)
        point = Point(
            *(one.cell, one.length_ratio, one.win_rate, one.controlled, one.cell == start),
            name=names[one.cell],
            colour=levels.get("algorithm", ""),
            shape=levels.get("dataset", ""),
            verdicts=_verdicts(found, one.cell, one.task),
            published=bool(found.evidence.source(one.cell)),
        )
        points.setdefault(text.label(one.task), []).append(point)
    panels = [(task, rows) for task, rows in points.items() if len(rows) > 1]
    return draw_win_rates(panels, "win-rate-length") if panels else None


def _verdicts(found: Findings, cell: str, task: str) -> int:
    """Return the prompts that a cell's win rate is over, of its first seed."""
    rows = (
        found.evidence.scores(run).get(f"{task}{WIN_RATE}") for run in found.study.runs_of(cell)
    )
    return next((row.n_items for row in rows if row is not None), 0)


def accuracy(found: Findings) -> Drawing | None:
    """Return held-out accuracy of reward models on labels of people, with the band of agreement."""
    rows = []
    for model in reward_models(found):
        if not is_of_people(found, model):
            continue
        ordinary = reward_score(found, model.cells[0], "accuracy")
        hard = reward_score(found, model.cells[0], "accuracy_hard")
        if not math.isnan(ordinary.value):
            kept = None if math.isnan(hard.value) else hard
            rows.append(Accuracy(model.name, ordinary, kept))
    if not rows:
        return None
    band = human_agreement()
    return draw_accuracy(rows, "reward-accuracy", band=(band.low, band.high), source=band.source)


def epochs(found: Findings) -> Drawing | None:
    """Return scores over epochs of the cells whose checkpoints were evaluated too."""
    metrics = _metrics(found)
    names = [*metrics, KL]
    traces = [
        trace
        for cell in found.study.cells
        if (trace := epoch_trace(found, cell, names)) is not None
    ]
    panels = list(_panels(found, metrics, traces))
    return draw_epochs(traces, panels, "evaluation-epochs") if panels else None


def _metrics(found: Findings) -> list[str]:
    """Return the primary metric, the average, rewards, promoted tasks, then categories."""
    known = found.evidence.metrics
    rewards = [row.metric for row in known.values() if row.unit == "reward"]
    wanted = (found.study.primary, "average", *rewards, *found.evidence.headline)
    return [name for name in dict.fromkeys(wanted) if name in known and "greedy_" not in name]


def epoch_trace(found: Findings, cell: str, metrics: list[str]) -> EpochTrace | None:
    """Return a cell's scores by epoch over the seeds that have them all; None without any.

    Checkpoints stand at equal distances and the last evaluation at the policy's last epoch; where
    steps end the stage, they stand at their numbers.
    """
    runs = [run for run in found.study.runs_of(cell) if run.folder("evaluation") is not None]
    by_run = [(run, dict(_roles(found, run))) for run in runs]
    by_run = [(run, roles) for run, roles in by_run if len(roles) > 1]
    if not by_run:
        return None
    shared = sorted(set.intersection(*(set(roles) for _, roles in by_run)))
    values = {}
    for name in metrics:
        table = [
            [_value(found, run, roles[epoch], name) for epoch in shared] for run, roles in by_run
        ]
        if not np.isnan(np.array(table)).all():
            values[name] = np.array(table, np.float64)
    if len(shared) < 2:
        return None
    return EpochTrace(cell, np.array(shared, np.float64), values)


def _roles(found: Findings, run: RunRecord) -> Iterator[tuple[float, str]]:
    """Yield epoch and role of a run's evaluations."""
    kept = [
        (int(match[1]), role)
        for role, folder in run.artifacts.items()
        if folder is not None and (match := _EPOCH.fullmatch(role))
    ]
    if not kept:
        return
    config = found.evidence.config(run, "policy")
    last = max(number for number, _ in kept) + 1
    said, epochs = config.get("checkpoints"), config.get("epochs")
    parts = said if isinstance(said, int) and said else last
    # Kept at equal distances; where no epochs are told, as where steps end a stage, by number.
    each = epochs / parts if isinstance(epochs, int) and not config.get("steps") else 1.0
    yield from ((each * number, role) for number, role in kept)
    yield each * parts, "evaluation"


def _value(found: Findings, run: RunRecord, role: str, metric: str) -> float:
    row = found.evidence.scores(run, role).get(metric)
    return math.nan if row is None else row.value


def _panels(found: Findings, metrics: list[str], traces: list[EpochTrace]) -> Iterator[Panel]:
    """Yield a panel for each score, then one over the distance for each reward."""
    known = found.evidence.metrics
    drawn = [name for name in metrics if any(name in trace.values for trace in traces)]
    for name in drawn[:MOST_SCORES]:
        row, task = known[name], found.evidence.tasks.get(name)
        chance = chance_of(row, found.evidence.tasks) if row.unit == "percent" else math.nan
        band = task.band if task is not None and row.level == "task" else None
        # A task that states no chance level has 0, which is no line to be above of.
        yield Panel(name, text.heading(row), chance=chance or math.nan, band=band)
    if any(KL in trace.values for trace in traces):
        for name in drawn:
            if known[name].unit == "reward":
                yield Panel(name, f"{text.heading(known[name])} over √KL", over=KL)
