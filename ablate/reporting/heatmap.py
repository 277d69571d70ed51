"""Every cell's differences on every task: the exploratory map behind the headline effects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from ablate.reporting import text
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.contrasts import contrasts_of
from ablate.reporting.effects import EffectRow, effect_rows
from ablate.reporting.figures.heatmap import Column, Heat, Square, draw_heatmap
from ablate.reporting.figures.save import Drawing
from ablate.reporting.findings import Findings
from ablate.reporting.suite_tasks import by_category
from ablate.stats.verdicts import Verdict

AVERAGE = "average"
_NAMES = {"baseline": "heatmap", "step": "heatmap-steps"}
_TITLES = {
    "baseline": "Differences to the baseline on every task",
    "step": "What each step changed on every task",
}


def heatmap(found: Findings, kind: str = "baseline") -> Drawing | None:
    """Return the map of a family's differences over tasks and categories.

    None below two columns or without a contrast: then the forest says the same.
    """
    heat = heat_of(found, kind)
    if heat is None:
        return None
    name, title = _NAMES.get(kind, f"heatmap-{kind}"), _TITLES.get(kind, "Differences by task")
    return draw_heatmap(heat, name, title=title, caption=_caption(found, kind))


def heatmap_steps(found: Findings) -> Drawing | None:
    """Return the map of a ladder's steps: each rung against the rung before it."""
    return heatmap(found, "step")


def heat_of(found: Findings, kind: str = "baseline") -> Heat | None:
    """Return the numbers of a map; rows are the family's contrasts in order."""
    metrics = columns_of(found)
    contrasts = [c for c in contrasts_of(found.study) if c.kind == kind]
    if len(metrics) < 2 or not contrasts:
        return None
    rows = effects_on(found, [metric.metric for metric, _ in metrics], kind)
    squares = {}
    for place, contrast in enumerate(contrasts):
        for column, (metric, _) in enumerate(metrics):
            row = rows.get((contrast.treatment, contrast.control, metric.metric))
            squares[place, column] = square_of(found, contrast.treatment, metric, row)
    shown = [[squares[r, c] for c in range(len(metrics))] for r in range(len(contrasts))]
    if all(square.reason for row in shown for square in row):
        return None
    has_average = any(metric.metric == AVERAGE for metric, _ in metrics)
    return Heat(
        rows=tuple(_row_name(found, c.treatment, c.label) for c in contrasts),
        columns=tuple(column for _, column in metrics),
        squares=squares,
        row_means=() if has_average else tuple(_mean(s.good for s in row) for row in shown),
        # Steps add up; a mean of them says nothing.
        column_means=()
        if kind == "step"
        else tuple(_mean(row[c].value for row in shown) for c in range(len(metrics))),
    )


def columns_of(found: Findings) -> list[tuple[MetricRow, Column]]:
    """Return the metrics in percent: each category before its tasks, other tasks, the average."""
    evidence = found.evidence
    tree = by_category(evidence.tasks)
    tasks = [name for name in evidence.scored_tasks if evidence.metrics[name].level == "task"]
    placed: list[tuple[str, bool]] = []
    for category in evidence.categories:
        below = [name for name in tree.get(category, ()) if name in tasks]
        placed.append((category, bool(below)))
        placed += [(name, False) for name in below]
    inside = {name for name, _ in placed}
    placed += [(name, False) for name in tasks if name not in inside]
    if AVERAGE in evidence.metrics:
        placed.append((AVERAGE, False))
    known = [(evidence.metrics[name], is_group) for name, is_group in placed]
    return [
        (metric, Column(_title(found, metric), is_group, is_apart=metric.metric == AVERAGE))
        for metric, is_group in known
        if metric.unit == "percent"
    ]


def _title(found: Findings, metric: MetricRow) -> str:
    title = text.label(metric.metric) + (" ↓" if metric.direction == "lower" else "")
    return f"{title} (primary)" if metric.metric == found.study.primary else title


def effects_on(
    found: Findings, metrics: Sequence[str], kind: str
) -> Mapping[tuple[str, str, str], EffectRow]:
    """Return a family's effects by treatment, control and metric, those of tasks computed now."""
    rows = {
        (row.treatment, row.control, row.metric): row for row in found.effects if row.kind == kind
    }
    done = {row.metric for row in found.effects}
    missing = [name for name in metrics if name not in done]
    for row in effect_rows(found.evidence, contrasts_of(found.study), missing):
        if row.kind == kind:
            rows[row.treatment, row.control, row.metric] = row
    return rows


def square_of(found: Findings, cell: str, metric: MetricRow, row: EffectRow | None) -> Square:
    """Return what one square says."""
    if row is None or math.isnan(row.effect.value):
        nan = math.nan
        return Square(nan, nan, Verdict.INVALID, 0.0, False, _why(found, cell, metric.metric))
    if row.verdict is Verdict.INVALID:
        return Square(math.nan, math.nan, row.verdict, 0.0, False, "invalid")
    sign = -1.0 if metric.direction == "lower" else 1.0
    decided = row.verdict in (Verdict.BETTER, Verdict.WORSE)
    evidence = 1.0 if decided else 0.0 if math.isnan(row.p_adjusted) else 1 - row.p_adjusted
    value = row.effect.value
    return Square(value, sign * value, row.verdict, evidence, row.effect.defined)


def _why(found: Findings, cell: str, metric: str) -> str:
    runs = found.study.runs_of(cell)
    if not found.evidence.finished(cell):
        return "failed" if any(run.failed for run in runs) else "not run"
    return "no score" if not found.evidence.values(cell, metric) else "no pair"


def _row_name(found: Findings, cell: str, label: str) -> str:
    published = any(found.evidence.file(run).source for run in found.study.runs_of(cell))
    return f"{label} [published]" if published else label


def _mean(values: Iterator[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _caption(found: Findings, kind: str) -> str:
    baseline = found.study.baseline if isinstance(found.study.baseline, str) else "its baseline"
    other = "the rung before" if kind == "step" else baseline
    declared = any(row.confirmatory for row in found.rows(kind))
    scope = (
        f"Every column but {text.label(found.study.primary)} is exploratory"
        if declared
        else "Everything here is exploratory"
    )
    return (
        f"Paired differences to {other} in points; blue is better and orange worse, also where less"
        " is better (↓). ▲ ▼ with full colour: p below α after Benjamini-Hochberg within a column"
        " (the primary metric has the study's own correction); △: real but inside the margin;"
        " ●: equivalent within it; hatched and pale: inconclusive, the paler the less evidence; in"
        f" parentheses: no interval over seeds. {scope}. Means are plain means of what is shown,"
        " without a verdict."
    )
