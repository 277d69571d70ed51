"""The report's tables as data; HTML and Markdown render the same ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ablate.reporting import text
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.contrasts import baseline_cell
from ablate.reporting.costs import UNITS
from ablate.reporting.effects import EffectRow, score_of
from ablate.reporting.study_figures import Findings
from ablate.stats.estimate import Estimate
from ablate.stats.verdicts import Verdict

Tone = Literal["", "better", "worse", "muted"]
DIAGNOSTICS = (
    *("greedy_average", "gold", "kl_per_sequence_nats"),
    *("length_tokens", "ended_fraction"),
)


@dataclass(frozen=True)
class Cell:
    """One field of a table."""

    text: str
    sub: str = ""
    """Small print below."""
    sort: float | None = None
    """Unrounded value that sorting uses; None sorts last."""
    tone: Tone = ""
    hint: str = ""
    """Said when pointed at, and read out."""
    strong: bool = False
    wide: bool = False
    """Running text, which may be broken into lines."""


@dataclass(frozen=True)
class Table:
    """Rows of fields; the first field of a row is its head."""

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def comparison(found: Findings) -> Table:
    """Return one row a cell: scores, and under each the difference to the baseline."""
    evidence = found.evidence
    metrics = [evidence.metrics[name] for name in _columns(found)]
    rows = [[_head(found, cell)] for cell in found.study.cells]
    for metric in metrics:
        fields = [_score(found, cell, metric) for cell in found.study.cells]
        for row, field in zip(rows, _best_bold(fields, metric), strict=True):
            row.append(field)
    for row, cell in zip(rows, found.study.cells, strict=True):
        seeds = len(evidence.finished(cell))
        row.append(Cell(str(seeds), sort=float(seeds)))
    titles = tuple(text.heading(metric) for metric in metrics)
    first = baseline_cell(found.study)
    order = sorted(range(len(rows)), key=lambda i: found.study.cells[i] != first)
    return Table(
        "comparison",
        "Mean over seeds (the baseline with the half width of its 95 % interval); below it the"
        " paired difference to the baseline and that difference's 95 % interval.",
        ("cell", *titles, "seeds"),
        tuple(tuple(rows[index]) for index in order),
        _comparison_notes(found, first),
    )


def _columns(found: Findings) -> tuple[str, ...]:
    names = found.evidence.metrics
    wanted = (*found.evidence.headline, found.study.primary, *DIAGNOSTICS)
    return tuple(name for name in dict.fromkeys(wanted) if name in names)


def _comparison_notes(found: Findings, baseline: str | None) -> tuple[str, ...]:
    notes = [
        "Shaded: better (blue) or worse (orange) than the baseline after correction; everything"
        " else is not decided. Bold: highest in its column, which is not a claim.",
    ]
    average = found.evidence.metric("average")
    if average is not None and found.evidence.categories:
        count = len(found.evidence.categories)
        notes.append(f"Average: unweighted mean of the {count} categories.")
    if baseline is None:
        notes.append("Differences pair each cell with the cell that has the baseline's levels.")
    if any(found.study.preliminary(cell) for cell in found.study.cells):
        notes.append("* Preliminary: these numbers are not final.")
    return tuple(notes)


def _head(found: Findings, cell: str) -> Cell:
    missing = [run for run in found.study.runs_of(cell) if run.missing]
    notes = [found.study.notes.get(cell, "")]
    notes += [f"seed {run.seed}: {run.missing}" for run in missing]
    if len(found.evidence.finished(cell)) == 1:
        notes.append("1 seed")
    star = " *" if found.study.preliminary(cell) else ""
    return Cell(cell + star, sub="; ".join(filter(None, notes)))


def _score(found: Findings, cell: str, metric: MetricRow) -> Cell:
    estimate = score_of(found.evidence, cell, metric.metric)
    if math.isnan(estimate.value):
        return Cell(text.DASH, hint=_why_missing(found, cell, metric), tone="muted")
    row = next((r for r in found.rows("baseline", metric.metric) if r.treatment == cell), None)
    shown = text.plain(estimate.value, metric.unit)
    if row is None:
        width = text.half_width(estimate, metric.unit)
        return Cell(shown, sub=width, sort=estimate.value)
    hint = f"{row.verdict.value}; adjusted p {text.p_text(row.p_adjusted)}"
    sub = f"{text.signed(row.effect.value, metric.unit)}\n{text.interval(row.shown, metric.unit)}"
    if metric.direction == "none":
        hint = ""
    else:
        sub = f"{row.verdict.symbol} {sub}"
    return Cell(shown, sub, sort=estimate.value, tone=tone_of(row), hint=hint)


def costs(found: Findings) -> Table | None:
    """Return what each trained cell spent, mean over its complete runs, and its primary score."""
    rows = []
    for cell in found.study.cells:
        spent = [run.spent for run in found.study.runs_of(cell) if run.spent]
        if not spent:
            continue
        means = {unit: sum(s[unit] for s in spent) / len(spent) for unit in UNITS}
        metric = found.evidence.metric(found.study.primary)
        score = Cell(text.DASH, tone="muted", hint="no such score")
        if metric is not None:
            score = score_cell(score_of(found.evidence, cell, metric.metric), metric.unit)
        fields = (Cell(f"{means[unit]:,.0f}", sort=means[unit]) for unit in UNITS)
        rows.append((Cell(cell), *fields, score, Cell(str(len(spent)), sort=float(len(spent)))))
    titles = (*UNITS.values(), text.label(found.study.primary), "runs")
    caption = "What each arm spent, mean over seeds: its own stages, shared ones in full."
    return Table("costs", caption, ("cell", *titles), tuple(rows)) if rows else None


def tone_of(row: EffectRow) -> Tone:
    """Return the shade of a difference: only a decided one has a colour."""
    tones: Mapping[Verdict, Tone] = {Verdict.BETTER: "better", Verdict.WORSE: "worse"}
    return tones.get(row.verdict, "")


def _why_missing(found: Findings, cell: str, metric: MetricRow) -> str:
    runs = found.study.runs_of(cell)
    reasons = dict.fromkeys(run.missing for run in runs if run.missing)
    if reasons:
        return "; ".join(str(reason) for reason in reasons)
    if not any(metric.metric in found.evidence.scores(run) for run in runs):
        return "not applicable: this cell has no such metric"
    return "undefined: see the run's scores"


def _best_bold(fields: Sequence[Cell], metric: MetricRow) -> list[Cell]:
    values = [field.sort for field in fields if field.sort is not None]
    if metric.direction == "none" or len(values) < 2:
        return list(fields)
    best = max(values) if metric.direction == "higher" else min(values)
    return [replace(field, strong=field.sort == best) for field in fields]


def effects(found: Findings, rows: Sequence[EffectRow], name: str, *, caption: str) -> Table:
    """Return the effects with everything behind each: the data table of the forest plot."""
    unit = found.evidence.metrics[rows[0].metric].unit
    notes = [notes_of(row, found.study.margin, unit) for row in rows]
    columns = ("contrast", "Δ [95 % CI]", "adj. p", "verdict", "detectable", "items", "seeds")
    return Table(
        name,
        caption,
        (*columns, "notes") if any(notes) else columns,
        tuple(
            (
                Cell(row.label, sub=f"against {row.control}"),
                Cell(text.effect(row.shown, unit), sort=row.effect.value, tone=tone_of(row)),
                Cell(text.p_text(row.p_adjusted), sort=_known(row.p_adjusted)),
                Cell(f"{row.verdict.symbol} {row.verdict.value}"),
                Cell(text.plain(row.detectable, unit), sort=_known(row.detectable)),
                Cell(str(row.shown.n_items or row.effect.n_items)),
                Cell(str(row.effect.n_seeds), sort=float(row.effect.n_seeds)),
                *((Cell("; ".join(said), wide=True),) if any(notes) else ()),
            )
            for row, said in zip(rows, notes, strict=True)
        ),
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def notes_of(row: EffectRow, margin: float, unit: str) -> list[str]:
    """Say what a reader must know beside an effect: tripwires, one seed, what would resolve it."""
    notes = [*row.invalid, *row.warnings]
    if row.method == "seeds only":
        notes.append("no item scores: interval over seeds only")
    if row.invalid or row.verdict is not Verdict.INCONCLUSIVE:
        return notes
    if not row.effect.defined and row.checkpoint.defined:
        notes.append(f"1 seed: interval over items only; {_tipping(row.tipping_seed_sd, unit)}")
    elif row.seeds_to_resolve is not None:
        notes.append(f"{row.seeds_to_resolve} seeds a side would show {points(margin)}")
    elif row.effect.defined and unit == "percent" and row.detectable > margin > 0:
        notes.append(f"more seeds alone cannot show {points(margin)}: more items are needed too")
    return notes


def _tipping(seed_sd: float, unit: str) -> str:
    if not seed_sd > 0:
        return "not significant even so"
    return f"no longer significant at a seed-to-seed SD above {text.plain(seed_sd, unit)}"


def points(margin: float) -> str:
    """Return ``1 point`` or ``0.5 points``."""
    return f"{margin:g} point" + ("" if margin == 1 else "s")


def sight(found: Findings) -> Table | None:
    """Return what the study can see: the smallest detectable difference beside the margin."""
    rows = []
    for name in dict.fromkeys([*found.evidence.headline, found.study.primary]):
        effect_rows = [r for r in found.effects if r.metric == name and r.detectable > 0]
        metric = found.evidence.metric(name)
        if not effect_rows or metric is None:
            continue
        smallest = sorted(row.detectable for row in effect_rows)
        middle = smallest[len(smallest) // 2]
        margin = found.study.margin if metric.unit == "percent" else math.nan
        blind = middle > margin
        rows.append(
            (
                Cell(text.label(name) + (" (primary)" if name == found.study.primary else "")),
                Cell(str(effect_rows[0].shown.n_items), sort=float(effect_rows[0].shown.n_items)),
                Cell(_range([row.effect.n_seeds for row in effect_rows])),
                Cell(_errors(effect_rows)),
                Cell(
                    f"{text.plain(middle)} ({text.plain(smallest[0])}–{text.plain(smallest[-1])})",
                    sort=middle,
                    tone="worse" if blind else "",
                ),
                Cell(text.plain(margin), sort=_known(margin)),
                Cell("no: blind to the margin" if blind else "yes"),
            )
        )
    columns = ("metric", "items", "seeds", "SE", "detectable: median (range)", "margin", "enough?")
    caption = "True differences, in points, that are found with probability 0.8 at the corrected α."
    return Table("sight", caption, columns, tuple(rows)) if rows else None


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}–{high}"


def _errors(rows: Sequence[EffectRow]) -> str:
    errors = [r.shown.standard_error for r in rows if not math.isnan(r.shown.standard_error)]
    return f"{text.plain(min(errors))}–{text.plain(max(errors))}" if errors else text.DASH


def score_cell(estimate: Estimate, unit: str) -> Cell:
    """Return a score with the half width of its interval below."""
    if math.isnan(estimate.value):
        return Cell(text.DASH, tone="muted", hint="no such score")
    width = text.half_width(estimate, unit)
    return Cell(text.plain(estimate.value, unit), sub=width, sort=estimate.value)
