"""Prompt sets of the policy by reward model: what asking other things changes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ablate.reporting import text
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.contrasts import Contrast
from ablate.reporting.effects import EffectRow, effect_rows
from ablate.reporting.findings import Findings
from ablate.reporting.flags import legend_of
from ablate.reporting.marks import badge, sources_of
from ablate.reporting.tables import Cell, RowGroup, Table, cell_score, tone_of

PROMPTS = "prompts"
KIND = "prompts"
"""Family of these comparisons, which no design declares."""


@dataclass(frozen=True)
class _Grid:
    """Cells by heading of rows, reward model and prompt set."""

    cells: Mapping[tuple[str, str, str], str]
    headings: tuple[str, ...]
    models: tuple[str, ...]
    sets: tuple[str, ...]


def prompt_table(found: Findings) -> Table | None:
    """Return a row a prompt set and a column a reward model, for the primary metric and GSM8K.

    Below each score stands its difference to the first prompt set under the same reward model. None
    where fewer than two prompt sets vary.
    """
    grid = _grid(found)
    if len(grid.sets) < 2:
        return None
    metrics = _metrics(found)
    contrasts = list(_contrasts(grid))
    names = [metric.metric for metric in metrics]
    rows = {(r.treatment, r.metric): r for r in effect_rows(found.evidence, contrasts, names)}
    lines, groups = [], []
    for heading in grid.headings:
        own = [
            name for name in grid.sets if any((heading, m, name) in grid.cells for m in grid.models)
        ]
        groups.append(RowGroup(heading, len(own)))
        for name in own:
            head = Cell(name, badge(found, _any(grid, heading, name)))
            fields = [
                _field(found, grid.cells.get((heading, model, name)), metric, rows)
                for metric in metrics
                for model in grid.models
            ]
            lines.append((head, *fields))
    spans = [(text.heading(metric), len(grid.models)) for metric in metrics]
    return Table(
        "prompt-sets",
        "What the policy was asked while it trained, by reward model. Below each score its"
        f" difference to {grid.sets[0]} under the same reward model, paired by item.",
        ("prompts", *(model for _ in metrics for model in grid.models)),
        tuple(lines),
        (*_notes(found, grid), *legend_of(f.text for line in lines for f in line[1:])),
        groups=tuple(groups),
        spans=(("", 1), *spans),
    )


def _grid(found: Findings) -> _Grid:
    study = found.study
    cells = [cell for cell in study.cells if PROMPTS in study.levels_of(cell)]
    names = [n for n in study.factors if n.startswith("reward_model")]
    rest = [
        name
        for name in study.factors
        if name != PROMPTS
        and name not in names
        and len({study.levels_of(cell).get(name) for cell in cells}) > 1
    ]
    placed: dict[tuple[str, str, str], str] = {}
    for cell in cells:
        levels = study.levels_of(cell)
        heading = " · ".join(levels[name] for name in rest if name in levels)
        model = " · ".join(levels[name] for name in names if name in levels) or "score"
        placed.setdefault((heading, model, levels[PROMPTS]), cell)
    keys = list(placed)
    return _Grid(placed, *(tuple(dict.fromkeys(key[place] for key in keys)) for place in range(3)))


def _metrics(found: Findings) -> list[MetricRow]:
    """Return what the sets are judged by: the primary metric, and arithmetic where it is there."""
    beside = [n for n in found.evidence.metrics if n.lower() in ("gsm8k", "gsm8k_cot")]
    names = dict.fromkeys([*beside[:1], found.study.primary])
    return [found.evidence.metrics[name] for name in names if name in found.evidence.metrics]


def _contrasts(grid: _Grid) -> Iterator[Contrast]:
    for (heading, model, name), cell in grid.cells.items():
        first = grid.cells.get((heading, model, grid.sets[0]))
        if first is not None and name != grid.sets[0]:
            yield Contrast(KIND, cell, first, f"{name} − {grid.sets[0]}", declared=False)


def _any(grid: _Grid, heading: str, name: str) -> str:
    return next(
        cell for (over, _, asked), cell in grid.cells.items() if (over, asked) == (heading, name)
    )


def _field(
    found: Findings,
    cell: str | None,
    metric: MetricRow,
    rows: Mapping[tuple[str, str], EffectRow],
) -> Cell:
    if cell is None:
        return Cell(text.DASH, tone="muted", hint="not in the study")
    field = cell_score(found, cell, metric)
    row = rows.get((cell, metric.metric))
    if row is None or field.sort is None or math.isnan(row.effect.value):
        return field
    delta = text.signed(row.effect.value, metric.unit)
    if row.shown.defined:
        delta = f"{row.verdict.symbol} {delta}\n{text.interval(row.shown, metric.unit)}"
    hint = "; ".join(filter(None, (field.hint, row.verdict.value)))
    return Cell(
        *(field.text, delta, field.sort, field.tone or tone_of(row), hint),
        low=field.low,
        high=field.high,
    )


def _notes(found: Findings, grid: _Grid) -> Sequence[str]:
    return (
        "Shaded: better (▲, blue) or worse (▼, orange) than the first prompt set."
        " Exploratory: p-values are corrected by Benjamini-Hochberg over the table's differences in"
        " a metric. Scores of the first set carry the half width of their 95 % interval.",
        *sources_of(found, grid.cells.values()),
    )
