"""The numbers of the forest plot and of the strips of seeds."""

from __future__ import annotations

import math

from ablate.reporting import text
from ablate.reporting.contrasts import baseline_cell
from ablate.reporting.effects import EffectRow, margin_of, score_of
from ablate.reporting.figures.forest import draw_forest
from ablate.reporting.figures.save import Drawing
from ablate.reporting.figures.strips import Strip, draw_strips
from ablate.reporting.findings import Findings

STEP = "step"
"""Family whose rows follow one another and are not sorted."""


def forest(found: Findings) -> Drawing | None:
    """Return the effects on the primary metric, family by family, those declared first.

    None where every difference is invalid: there is nothing to draw, and the tables say why.
    """
    groups = forest_groups(found)
    rows = [row for _, members in groups for row in members]
    if all(math.isnan(row.shown.value) for row in rows):
        return None
    correction = text.correction_name(found.study.correction)
    caption = (
        "Paired differences: thick bars 50 %, thin bars 95 % intervals; an arrow is an interval"
        " that goes on beyond the axis. n: items, S: seeds a side. Correction of p-values:"
        f" {correction}, within each family. Families are sorted by effect, steps by the ladder."
    )
    if any(row.effect.n_seeds < 2 for row in rows):
        caption += (
            " Open marks and *: one seed; the interval claims these checkpoints only, except where"
            " a spread over seeds is borrowed."
        )
    metric = found.evidence.metric(rows[0].metric)
    unit = "percent" if metric is None else metric.unit
    declared = margin_of(found.evidence, found.study.primary)
    margin = 0.0 if math.isnan(declared) else declared
    return draw_forest(groups, "forest", unit=unit, margin=margin, caption=caption)


def forest_groups(found: Findings) -> list[tuple[str, list[EffectRow]]]:
    """Return headings with their rows: families that were declared, then those that were not."""
    baseline = found.study.baseline
    groups = []
    for family in sorted(found.families, key=lambda one: not one.declared):
        rows = found.rows(family.name)
        if not rows:
            continue
        if family.name != STEP:
            rows = sorted(rows, key=_largest_first)
        title = family.title
        if family.name == "baseline" and isinstance(baseline, str):
            title = f"{title}: {baseline}"
        groups.append((title if family.declared else f"{title} (exploratory)", rows))
    return groups


def _largest_first(row: EffectRow) -> tuple[bool, float]:
    value = row.effect.value
    return math.isnan(value), -value


def seeds(found: Findings) -> Drawing | None:
    """Return every seed's score on the primary metric, with each cell's mean and interval."""
    metric = found.study.primary
    row = found.evidence.metric(metric)
    strips = [strip for cell in found.study.cells if (strip := _strip(found, cell, metric))]
    if row is None or len(strips) < 2 or all(strip.is_published for strip in strips):
        return None
    start = baseline_cell(found.study)
    line = next((strip for strip in strips if strip.cell == start), None)
    return draw_strips(
        strips,
        "seeds",
        label=text.heading(row),
        unit=row.unit,
        baseline=None if line is None else (line.cell, line.score.value),
    )


def _strip(found: Findings, cell: str, metric: str) -> Strip | None:
    values = found.evidence.values(cell, metric)
    kept = {seed: value for seed, value in values.items() if not math.isnan(value)}
    if not kept:
        return None
    runs = found.evidence.finished(cell)
    return Strip(
        cell=cell,
        seeds=kept,
        score=score_of(found.evidence, cell, metric),
        invalid=frozenset(found.evidence.invalid(cell)),
        is_published=any(found.evidence.file(run).source for run in runs),
        is_final=not found.study.preliminary(cell),
    )
