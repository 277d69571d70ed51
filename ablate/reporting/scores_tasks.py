"""Every task of the study's suites: its scores, what it is, and what it measures beside them."""

from __future__ import annotations

from ablate.reporting import text
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.findings import Findings
from ablate.reporting.flags import legend_of
from ablate.reporting.scores_judged import is_judged
from ablate.reporting.tables import Cell, Table, cell_score
from ablate.spec.suites import TaskDefinition

OF_OUTPUTS = (
    *("_empty_fraction", "_repetition_fraction", "_refused_fraction", "_distinct_fraction"),
    *("_mean_tokens", "_ended_fraction"),
)
"""Ends of metrics that say how outputs look, which the table of diagnostics shows for a cell."""


def task_tables(found: Findings) -> tuple[Table, ...]:
    """Return the tables of tasks; none where no evaluation says its tasks' own scores."""
    names = found.evidence.scored_tasks
    if not any(found.evidence.metrics[name].level == "task" for name in names):
        return ()
    details = _details(found, names)
    return (_scores(found, names), *((details,) if details else ()), _definitions(found, names))


def _scores(found: Findings, names: tuple[str, ...]) -> Table:
    evidence = found.evidence
    cells = [cell for cell in found.study.cells if evidence.finished(cell)]
    rows = []
    for name in names:
        metric, task = evidence.metrics[name], evidence.tasks[name]
        head = Cell(f"{text.label(name)}{_arrow(task)}", sub=_place(task))
        fields = (cell_score(found, cell, metric) for cell in cells)
        rows.append((head, _count(metric.n_items), _chance(task), *fields))
    notes = []
    if any(evidence.tasks[name].direction == "lower" for name in names):
        notes.append("↓ Lower is better; inside its category the task counts as 100 − score.")
    if any(evidence.tasks[name].unit == "points" for name in names):
        notes.append("Ratings are in points and stay out of the Average.")
    return Table(
        "tasks",
        "Every task in its own direction and unit (% unless it says points), with the half width of"
        " its 95 % interval.",
        ("task", "items", "chance", *cells),
        tuple(rows),
        (
            *notes,
            *found.evidence.undeclared,
            *legend_of(field.text for row in rows for field in row[3:]),
        ),
    )


def _place(task: TaskDefinition) -> str:
    return text.label(task.category) if task.category else "outside the Average"


def _arrow(task: TaskDefinition) -> str:
    unit = " (points)" if task.unit == "points" else ""
    return unit + (" ↓" if task.direction == "lower" else "")


def _count(number: int) -> Cell:
    return Cell(f"{number:,}", sort=float(number))


def _chance(task: TaskDefinition) -> Cell:
    if task.unit != "percent":
        return Cell(text.DASH, tone="muted", hint="a rating has no chance level")
    return Cell(text.plain(task.chance), sort=task.chance)


def _details(found: Findings, names: tuple[str, ...]) -> Table | None:
    """Return further scores of the tasks; those of a judge have a table of their own."""
    cells = [cell for cell in found.study.cells if found.evidence.finished(cell)]
    rows = []
    for name in names:
        for metric in found.evidence.metrics.values():
            if not _is_detail(found, metric, name):
                continue
            title = text.label(metric.metric.removeprefix(f"{name}_"))
            fields = (cell_score(found, cell, metric) for cell in cells)
            head = Cell(f"{text.label(name)}: {title}", sub=text.unit_name(metric.unit))
            rows.append((head, _count(metric.n_items), *fields))
    caption = "What the tasks measure beside the score that counts."
    columns = ("score", "items", *cells)
    return Table("task-details", caption, columns, tuple(rows)) if rows else None


def _is_detail(found: Findings, metric: MetricRow, task: str) -> bool:
    if not metric.metric.startswith(f"{task}_") or is_judged(found, metric.metric, task):
        return False
    return not metric.metric.endswith(OF_OUTPUTS)


def _definitions(found: Findings, names: tuple[str, ...]) -> Table:
    rows = tuple(_definition(found.evidence.metrics[n], found.evidence.tasks[n]) for n in names)
    columns = (
        *("task", "category", "metric", "chance (%)", "target band", "asked"),
        "what differs from the original",
    )
    caption = "What each task is. Categories are means of their tasks, the Average of categories."
    return Table("task-definitions", caption, columns, rows)


def _definition(metric: MetricRow, task: TaskDefinition) -> tuple[Cell, ...]:
    band = text.DASH if task.band is None else f"{task.band[0]:g} to {task.band[1]:g}"
    after = f"after {task.filter}" if task.filter else ""
    source = f"lm-eval: {task.lm_eval}" if task.lm_eval else str(task.kind or "")
    source = "" if source == metric.metric else source
    return (
        Cell(text.label(metric.metric), sub=source),
        Cell(text.label(task.category) if task.category else text.DASH),
        Cell(task.metric, sub=after),
        _chance(task),
        Cell(band),
        Cell(_asked(task), wide=True),
        Cell(task.differs or text.DASH, wide=True),
    )


def _asked(task: TaskDefinition) -> str:
    parts = [f"{task.shots}-shot"]
    if task.samples > 1:
        parts.append(f"{task.samples} samples at temperature {task.temperature:g}")
        if task.k > 1:
            parts.append(f"pass@{task.k}")
    if not task.chat_template:
        parts.append("no chat template")
    return ", ".join(parts)
