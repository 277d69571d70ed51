"""What judges said: win rates both ways, and everything they may owe to the judge."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ablate.reporting import text
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.effects import score_of
from ablate.reporting.findings import Findings
from ablate.reporting.tables import Cell, Table, invalid_text, score_cell

WIN_RATE = "_win_rate"
COLUMNS = {
    "win_rate": "win rate (%)",
    "lc_win_rate": "length-controlled (%)",
    "position_consistency": "same in both orders (share)",
    "draw_share": "ties (share)",
    "judge_repeat_sd": "SD of repeats (points)",
    "judge_agreement": "agreement of repeats (α)",
    "length": "mean length",
    "reference_length": "reference's mean length",
    "verdicts": "verdicts",
    "judge_failures": "without a verdict",
    "judge_cost_dollars": "cost ($)",
}
"""Metrics of a judged task, by what follows its name, and how the table calls them."""
_ALSO = {
    "draw_share": ("tie_fraction",),
    "length": ("length_mean", "mean_length"),
    "reference_length": ("length_mean_reference", "mean_reference_length"),
    "judge_cost_dollars": ("judge_dollars", "cost_dollars"),
}
"""Other names of the same."""
_ERRORS = {"win_rate": "win_rate_se", "lc_win_rate": "lc_win_rate_se"}
"""Standard errors over prompts, where an evaluation states them."""


_VARIANTS = ("_lc_win_rate", "_discrete_win_rate")
"""Ends of metrics that are made from a task's win rate."""


@dataclass(frozen=True)
class Judged:
    """One cell's replies to one task, compared with a reference's."""

    task: str
    cell: str
    win_rate: float
    controlled: float
    """Length-controlled win rate; NaN where there is none."""
    length_ratio: float
    """Mean length over the reference's; NaN where one is unknown."""


def judged_tasks(found: Findings) -> tuple[str, ...]:
    """Return the tasks that have a win rate, in the order of the metrics."""
    names = [n for n in found.evidence.metrics if n.endswith(WIN_RATE)]
    derived = {f"{name.removesuffix(WIN_RATE)}{v}" for name in names for v in _VARIANTS}
    return tuple(name.removesuffix(WIN_RATE) for name in names if name not in derived)


def is_judged(found: Findings, metric: str, task: str) -> bool:
    """Return whether a metric of a task is shown in the table of judged tasks."""
    known = {*COLUMNS, *_ERRORS.values(), "discrete_win_rate"}
    known |= {name for names in _ALSO.values() for name in names}
    return task in judged_tasks(found) and metric.removeprefix(f"{task}_") in known


def judged_table(found: Findings) -> Table | None:
    """Return a row for each judged task and cell, or None without win rates."""
    tasks = judged_tasks(found)
    used = [s for s in COLUMNS if any(_known(found, task, s) for task in tasks)]
    rows: list[tuple[Cell, ...]] = []
    for task in tasks:
        for cell in found.study.cells:
            if found.evidence.values(cell, f"{task}{WIN_RATE}"):
                head = Cell(cell if len(tasks) == 1 else f"{text.label(task)}: {cell}")
                rows.append((head, *(_field(found, cell, task, suffix) for suffix in used)))
    if not rows:
        return None
    named = f" to {text.label(tasks[0])}" if len(tasks) == 1 else ""
    return Table(
        "judged",
        f"Replies{named} compared by a judge, mean over seeds. Win rates with the half width of"
        " their 95 % interval.",
        ("cell", *(_title(found, tasks, suffix) for suffix in used)),
        tuple(rows),
        _notes(used),
    )


def _title(found: Findings, tasks: tuple[str, ...], suffix: str) -> str:
    units = {row.unit for task in tasks if (row := _known(found, task, suffix)) is not None}
    is_length = suffix in ("length", "reference_length")
    return f"{COLUMNS[suffix]} ({', '.join(sorted(units))})" if is_length else COLUMNS[suffix]


def _known(found: Findings, task: str, suffix: str) -> MetricRow | None:
    return found.evidence.metric(_name(found, task, suffix))


def _notes(used: list[str]) -> tuple[str, ...]:
    notes = ["A tie counts one half; what the two orders disagree on is a tie."]
    if "lc_win_rate" in used:
        notes.append(
            "Length-controlled: the win rate that the judge would give to replies as long as the"
            " reference's, by a model of its preferences; it does not control what else a judge"
            " likes."
        )
    if "judge_repeat_sd" in used:
        notes.append(
            "SD of repeats: how far the win rate moves when the same judge is asked again; the"
            " intervals, which are over prompts and seeds, do not hold it."
        )
    if "judge_agreement" in used:
        notes.append(
            "Agreement of repeats: Krippendorff's α on the interval scale, 1 where the judge always"
            " says the same of a comparison, 0 where its answers are as alike as by chance."
        )
    return tuple(notes)


def _name(found: Findings, task: str, suffix: str) -> str:
    """Return the metric of a task under whichever of its names the evaluation uses."""
    names = [f"{task}_{name}" for name in (suffix, *_ALSO.get(suffix, ()))]
    return next((name for name in names if name in found.evidence.metrics), names[0])


def _field(found: Findings, cell: str, task: str, suffix: str) -> Cell:
    metric = _known(found, task, suffix)
    if metric is None:
        return Cell(text.DASH, tone="muted", hint="not measured")
    score = score_of(found.evidence, cell, metric.metric)
    field = score_cell(score, metric.unit)
    if field.sort is None:
        return field
    if said := invalid_text(found, cell):
        hint = f"invalid: {said}"
        return Cell(f"✕ {field.text}", tone="invalid", hint=hint)
    if suffix not in _ERRORS:
        return Cell(field.text, sort=field.sort)
    return field if field.sub else _with_error(found, cell, f"{task}_{_ERRORS[suffix]}", field)


def _with_error(found: Findings, cell: str, name: str, field: Cell) -> Cell:
    """Show the standard error that the evaluation states where the items give no interval."""
    errors = list(found.evidence.values(cell, name).values())
    if len(errors) != 1 or math.isnan(errors[0]):
        return field
    half = text.plain(1.96 * errors[0])
    return Cell(field.text, sub=f"± {half}", sort=field.sort, hint="over prompts only")


def comparisons(found: Findings) -> Iterator[Judged]:
    """Yield every cell's win rate and length on every judged task, invalid cells left out."""
    for task in judged_tasks(found):
        for cell in found.study.cells:
            win_rate = _mean(found, cell, f"{task}{WIN_RATE}")
            if math.isnan(win_rate) or found.evidence.invalid(cell):
                continue
            ours = _mean(found, cell, _name(found, task, "length"))
            theirs = _mean(found, cell, _name(found, task, "reference_length"))
            controlled = _mean(found, cell, f"{task}_lc_win_rate")
            ratio = ours / theirs if theirs > 0 else math.nan
            yield Judged(task, cell, win_rate, controlled, ratio)


def _mean(found: Findings, cell: str, metric: str) -> float:
    values = list(found.evidence.values(cell, metric).values())
    return math.fsum(values) / len(values) if values else math.nan
