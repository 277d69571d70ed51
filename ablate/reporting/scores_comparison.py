"""The page's main table: every cell's scores, and below each its difference to the baseline."""

from __future__ import annotations

import math
from dataclasses import replace

from ablate.reporting import text
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.contaminated import LEAST_SHARE, WITHOUT
from ablate.reporting.contrasts import baseline_cell
from ablate.reporting.effects import score_of
from ablate.reporting.findings import Findings
from ablate.reporting.flags import legend_of
from ablate.reporting.marks import best_of, claim_note, sources_of
from ablate.reporting.records import listed
from ablate.reporting.tables import Cell, Table, invalid_text, marked, tone_of

DIAGNOSTICS = (
    *("greedy_average", "gold", "kl_per_sequence_nats"),
    *("length_tokens", "ended_fraction"),
)


def comparison(found: Findings) -> Table:
    """Return one row a cell: scores, and under each the difference to the baseline."""
    evidence = found.evidence
    metrics = [evidence.metrics[name] for name in _columns(found)]
    rows = [[_head(found, cell)] for cell in found.study.cells]
    for metric in metrics:
        fields = [_score(found, cell, metric) for cell in found.study.cells]
        for row, field in zip(rows, best_of(fields, metric), strict=True):
            row.append(field)
    for row, cell in zip(rows, found.study.cells, strict=True):
        row.append(_count(found, cell))
    titles = tuple(text.heading(metric) for metric in metrics)
    first = baseline_cell(found.study)
    order = sorted(range(len(rows)), key=lambda i: found.study.cells[i] != first)
    return Table(
        "comparison",
        "Mean over seeds (the baseline with the half width of its 95 % interval); below it the"
        " paired difference to the baseline and that difference's 95 % interval.",
        ("cell", *titles, "seeds"),
        tuple(tuple(rows[index]) for index in order),
        (*_notes(found, first), *legend_of(field.text for row in rows for field in row[1:])),
    )


def _count(found: Findings, cell: str) -> Cell:
    if found.evidence.source(cell):
        return Cell(text.DASH, tone="muted", hint="a published row has no seeds that are known")
    seeds = len(found.evidence.finished(cell))
    return Cell(str(seeds), sort=float(seeds))


def _columns(found: Findings) -> tuple[str, ...]:
    names = found.evidence.metrics
    wanted = (*found.evidence.headline, found.study.primary, *DIAGNOSTICS)
    return tuple(name for name in dict.fromkeys(wanted) if name in names)


def _notes(found: Findings, baseline: str | None) -> tuple[str, ...]:
    lower = any(found.evidence.metrics[name].direction == "lower" for name in _columns(found))
    best = (
        "highest in its column, lowest where less is better" if lower else "highest in its column"
    )
    notes = [
        "Shaded: better (blue) or worse (orange) than the baseline after correction; everything"
        f" else is not decided. Bold: {best}, which is not a claim.",
    ]
    if found.rows("baseline"):
        notes.append(claim_note(found, "baseline"))
    average = found.evidence.metric("average")
    if average is not None and found.evidence.categories:
        notes.append(_average_note(found))
    if found.evidence.promoted and found.evidence.categories:
        names = listed([text.label(name) for name in found.evidence.promoted])
        notes.append(f"{names}: tasks that are shown beside the categories, not counted twice.")
    notes += _left_out(found)
    notes += sources_of(found, found.study.cells)
    if baseline is None and found.rows("baseline"):
        notes.append("Differences pair each cell with the cell that has the baseline's levels.")
    if any(found.evidence.invalid(cell) for cell in found.study.cells):
        notes.append("✕ Invalid: the score cannot be trusted, and nothing is compared with it.")
    if any(found.study.preliminary(cell) for cell in found.study.cells):
        notes.append("* Preliminary: these numbers are not final.")
    return tuple(notes)


def _average_note(found: Findings) -> str:
    """Say what the Average is the mean of, and where rows have it of different categories."""
    own = {frozenset(found.evidence.categories_of(cell)) for cell in found.study.cells}
    if len(own - {frozenset()}) > 1:
        return (
            "Average: unweighted mean of a row's own categories; rows with other categories do not"
            " compare."
        )
    count = len(found.evidence.categories)
    return f"Average: unweighted mean of the {count} categories."


def _left_out(found: Findings) -> list[str]:
    """Say which tasks the study's data hold documents of, and by which rule they are left out."""
    seen = [one for one in found.evidence.seen if one.share >= LEAST_SHARE]
    if not seen or WITHOUT not in found.evidence.metrics:
        return []
    shown = [f"{text.label(o.task)} ({o.seen:,} of {o.documents:,} documents)" for o in seen]
    return [
        f"Average without contaminated tasks: leaves out {listed(shown)}, of which any data set of"
        f" the study holds {LEAST_SHARE:.0%} or more, in every row alike; the mean of the"
        " categories that remain."
    ]


def _head(found: Findings, cell: str) -> Cell:
    missing = [run for run in found.study.runs_of(cell) if run.missing]
    notes = [found.study.notes.get(cell, "")]
    notes += [f"seed {run.seed}: {run.missing}" for run in missing]
    if reasons := invalid_text(found, cell):
        notes.append(f"invalid, {reasons}")
    if len(found.evidence.finished(cell)) == 1 and not found.evidence.source(cell):
        notes.append("1 seed")
    star = " *" if found.study.preliminary(cell) else ""
    published = "published" if found.evidence.source(cell) else ""
    return Cell(cell + star, sub="; ".join(filter(None, (published, *notes))))


def _score(found: Findings, cell: str, metric: MetricRow) -> Cell:
    estimate = score_of(found.evidence, cell, metric.metric)
    if math.isnan(estimate.value):
        return Cell(text.DASH, hint=_why_missing(found, cell, metric), tone="muted")
    row = next((r for r in found.rows("baseline", metric.metric) if r.treatment == cell), None)
    shown = text.plain(estimate.value, metric.unit)
    if row is None:
        width = text.half_width(estimate, metric.unit)
        plain = Cell(shown, sub=width, sort=estimate.value, low=estimate.low, high=estimate.high)
        return marked(plain, estimate, found=found, cell=cell, metric=metric)
    hint = f"{row.verdict.value}; adjusted p {text.p_text(row.p_adjusted)}"
    sub = f"{text.signed(row.effect.value, metric.unit)}\n{text.interval(row.shown, metric.unit)}"
    if not row.shown.defined and not row.invalid:
        sub, hint = text.signed(row.effect.value, metric.unit), "no interval, so no verdict"
    elif metric.direction == "none":
        hint = ""
    else:
        sub = f"{row.verdict.symbol} {sub}"
    field = Cell(shown, sub, sort=estimate.value, tone=tone_of(row), hint=hint)
    field = replace(field, low=estimate.low, high=estimate.high)
    return marked(field, estimate, found=found, cell=cell, metric=metric)


def _why_missing(found: Findings, cell: str, metric: MetricRow) -> str:
    runs = found.study.runs_of(cell)
    reasons = dict.fromkeys(run.missing for run in runs if run.missing)
    if reasons:
        return "; ".join(str(reason) for reason in reasons)
    if not any(metric.metric in found.evidence.scores(run) for run in runs):
        return "not applicable: this cell has no such metric"
    if found.evidence.source(cell):
        return "not stated by the source"
    return "undefined: see the run's scores"
