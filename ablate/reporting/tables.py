"""The report's tables as data; HTML and Markdown render the same ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ablate.reporting import text
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.costs import UNITS
from ablate.reporting.effects import EffectRow, margin_of, score_of
from ablate.reporting.findings import Findings
from ablate.reporting.flags import flags_of
from ablate.reporting.records import listed
from ablate.stats.estimate import Estimate
from ablate.stats.verdicts import Verdict

Tone = Literal["", "better", "worse", "muted", "invalid"]


@dataclass(frozen=True)
class Cell:
    """One field of a table."""

    text: str
    sub: str = ""
    """Small print below."""
    sort: float | None = None
    """Unrounded value that sorting and bold use; None sorts last, and stands for NaN too."""
    tone: Tone = ""
    hint: str = ""
    """Said when pointed at, and read out."""
    strong: bool = False
    wide: bool = False
    """Running text, which may be broken into lines."""
    low: float = math.nan
    """Unrounded bounds of the interval of ``sort``; NaN where there is none."""
    high: float = math.nan
    slanted: bool = False
    """A difference between rows above, in italics."""

    def __post_init__(self) -> None:
        """Take NaN out of sorting: it compares with nothing."""
        if self.sort is not None and math.isnan(self.sort):
            object.__setattr__(self, "sort", None)


@dataclass(frozen=True)
class RowGroup:
    """Rows that stand together, under a heading where it is not empty."""

    title: str
    rows: int


@dataclass(frozen=True)
class Table:
    """Rows of fields; the first field of a row is its head."""

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    groups: tuple[RowGroup, ...] = ()
    """All rows in order, group by group; empty where they are one group."""
    spans: tuple[tuple[str, int], ...] = ()
    """Titles over columns that stand side by side, each with how many it covers; all columns in
    order, empty titles over those that have none. Empty where no column has one."""
    sortable: bool = True
    """False where the order of the rows is part of what they say."""

    @property
    def titles(self) -> tuple[str, ...]:
        """Column titles in one line each, ``over: column`` where a title stands over several."""
        spans = [title for title, columns in self.spans for _ in range(columns)]
        over = spans or [""] * len(self.columns)
        both = zip(over, self.columns, strict=True)
        return tuple(f"{one}: {column}" if one else column for one, column in both)

    @property
    def blocks(self) -> tuple[tuple[str, tuple[tuple[Cell, ...], ...]], ...]:
        """Heading and rows of every group in order."""
        found, first = [], 0
        for group in self.groups or (RowGroup("", len(self.rows)),):
            found.append((group.title, self.rows[first : first + group.rows]))
            first += group.rows
        return tuple(found)


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
            score = cell_score(found, cell, metric)
        fields = (Cell(f"{means[unit]:,.0f}", sort=means[unit]) for unit in UNITS)
        rows.append((Cell(cell), *fields, score, Cell(str(len(spent)), sort=float(len(spent)))))
    titles = (*UNITS.values(), text.label(found.study.primary), "runs")
    caption = "What each arm spent, mean over seeds: its own stages, shared ones in full."
    return Table("costs", caption, ("cell", *titles), tuple(rows)) if rows else None


def tone_of(row: EffectRow) -> Tone:
    """Return the shade of a difference: only a decided one has a colour."""
    return tone_of_verdict(row.verdict)


def tone_of_verdict(verdict: Verdict) -> Tone:
    """Return the shade of a verdict: only a decided one has a colour."""
    tones: Mapping[Verdict, Tone] = {Verdict.BETTER: "better", Verdict.WORSE: "worse"}
    return tones.get(verdict, "")


def known(value: float) -> float | None:
    """Return a value that sorting uses: None where it is undefined."""
    return None if math.isnan(value) else value


def points(margin: float, unit: str = "percent") -> str:
    """Return ``1 point``, ``0.5 points``, or a margin in another unit."""
    if unit != "percent":
        return f"{margin:g} ({text.unit_name(unit)})"
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
        margin = margin_of(found.evidence, name)
        blind = middle > margin
        rows.append(
            (
                Cell(text.label(name) + (" (primary)" if name == found.study.primary else "")),
                items_cell(effect_rows[0].shown.n_items),
                _seeds_of(found, effect_rows),
                Cell(_errors(effect_rows, metric.unit)),
                Cell(
                    f"{text.plain(middle, metric.unit)}"
                    f" ({text.plain(smallest[0], metric.unit)}–"
                    f"{text.plain(smallest[-1], metric.unit)})",
                    sort=middle,
                    tone="worse" if blind else "",
                ),
                Cell(text.DASH if math.isnan(margin) else f"{margin:g}", sort=known(margin)),
                Cell(_enough(margin, blind)),
            )
        )
    columns = ("metric", "items", "seeds", "SE", "detectable: median (range)", "margin", "enough?")
    caption = "True differences, percentages in points, found 8 times in 10 at the corrected α."
    return Table("sight", caption, columns, tuple(rows)) if rows else None


def _enough(margin: float, blind: bool) -> str:
    if math.isnan(margin):
        return "no margin declared"
    return "no: blind to the margin" if blind else "yes"


def items_cell(count: int) -> Cell:
    """Return a number of items; a dash where there are none."""
    if not count:
        return Cell(text.DASH, tone="muted", hint="published numbers have no items")
    return Cell(str(count), sort=float(count))


def seeds_cell(found: Findings, row: EffectRow) -> Cell:
    """Return an effect's seeds a side; a dash where both sides are published."""
    if all(found.evidence.source(cell) for cell in (row.treatment, row.control)):
        return Cell(text.DASH, tone="muted", hint="published numbers have no seeds that are known")
    return Cell(str(row.effect.n_seeds), sort=float(row.effect.n_seeds))


def _seeds_of(found: Findings, rows: Sequence[EffectRow]) -> Cell:
    """Return the seeds of a metric's effects, those between published rows left out."""
    cells = [cell for row in rows if (cell := seeds_cell(found, row)).sort is not None]
    if not cells:
        return seeds_cell(found, rows[0])
    return Cell(_range([int(cell.text) for cell in cells]))


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}–{high}"


def _errors(rows: Sequence[EffectRow], unit: str) -> str:
    errors = [r.shown.standard_error for r in rows if not math.isnan(r.shown.standard_error)]
    bounds = [text.plain(bound, unit) for bound in (min(errors), max(errors))] if errors else []
    return "–".join(dict.fromkeys(bounds)) or text.DASH


def score_cell(estimate: Estimate, unit: str) -> Cell:
    """Return a score with the half width of its interval below."""
    if math.isnan(estimate.value):
        return Cell(text.DASH, tone="muted", hint="no such score")
    width = text.half_width(estimate, unit)
    shown = text.plain(estimate.value, unit)
    low, high = estimate.low, estimate.high
    return Cell(shown, sub=width, sort=estimate.value, low=low, high=high)


def cell_score(found: Findings, cell: str, metric: MetricRow) -> Cell:
    """Return a cell's score with the half width of its interval below, and its marks."""
    score = score_of(found.evidence, cell, metric.metric)
    return marked(score_cell(score, metric.unit), score, found=found, cell=cell, metric=metric)


def marked(field: Cell, score: Estimate, *, found: Findings, cell: str, metric: MetricRow) -> Cell:
    """Return the field of a score with its marks: invalid, not above chance, outside its band.

    An invalid score is shown, so that a reader sees what was thrown out, but struck.
    """
    if math.isnan(score.value):
        return field
    if reasons := invalid_text(found, cell):
        hint = f"invalid: {reasons}"
        return replace(field, text=f"✕ {field.text}", sub="", tone="invalid", hint=hint, sort=None)
    flags = flags_of(found.evidence, metric, score)
    if not flags:
        return field
    hint = "; ".join(filter(None, (field.hint, *(flag.said for flag in flags))))
    return replace(field, text=field.text + "".join(f.symbol for f in flags), hint=hint)


def invalid_text(found: Findings, cell: str) -> str:
    """Say why a cell's scores cannot be trusted, seeds of one reason together; else empty."""
    seeds: dict[tuple[str, ...], list[int]] = {}
    for seed, reasons in found.evidence.invalid(cell).items():
        seeds.setdefault(reasons, []).append(seed)
    return "; ".join(f"{_seeds(which)}: {', '.join(why)}" for why, which in seeds.items())


def _seeds(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"seed {numbers[0]}"
    return f"seeds {listed([str(number) for number in numbers])}"
