"""Two levels compared pair by pair, such as DPO and PPO on the same data, and over all pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ablate.reporting import text
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.effects import EffectRow
from ablate.reporting.findings import Findings
from ablate.reporting.flags import legend_of
from ablate.reporting.marks import (
    OF_BOLD,
    badge,
    best_of,
    notes_on_rows,
    shade_note,
    shaded_score,
)
from ablate.reporting.over_pairs import OverPairs, over_pairs
from ablate.reporting.tables import Cell, RowGroup, Table, tone_of, tone_of_verdict

ALGORITHM = "algorithm"
_SHADED = (
    "Shaded: a score that is better (blue) or worse (orange) than the baseline after correction,"
    " and a Δ that is not 0."
)


@dataclass(frozen=True)
class Sides:
    """Two levels of a factor that a study compares within equal levels of everything else."""

    kind: str
    """Name of the family."""
    control: str
    treatment: str
    declared: bool = True

    @property
    def name(self) -> str:
        """Of its table."""
        return "dpo-vs-ppo" if self.kind == ALGORITHM else f"pairs-{self.kind}"


def sides_of(found: Findings) -> tuple[Sides, ...]:
    """Return the two-level comparisons of a study, declared ones in their order first.

    The algorithms are left out where the study declares that very comparison.
    """
    sides = []
    for number, entry in enumerate(found.study.analysis.contrasts or (), 1):
        if not isinstance(entry, str) and entry.factor:
            levels = (entry.control, entry.treatment)
            if entry.factor == ALGORITHM:
                levels = (entry.control.upper(), entry.treatment.upper())
            sides.append(Sides(f"declared-{number}", *levels))
    if ("DPO", "PPO") not in {(one.control, one.treatment) for one in sides}:
        sides.append(Sides(ALGORITHM, "DPO", "PPO", found.declared(ALGORITHM)))
    return tuple(one for one in sides if found.rows(one.kind))


def pair_tables(found: Findings) -> tuple[Table, ...]:
    """Return the table of every two-level comparison that a study has."""
    return tuple(filter(None, (pair_table(found, sides) for sides in sides_of(found))))


def declared_pairs(found: Findings, *, name: str) -> Table | None:
    """Return the table of a declared comparison by its family's name; None where it has none."""
    sides = next((one for one in sides_of(found) if one.kind == name), None)
    return pair_table(found, sides) if sides is not None else None


def duel_table(found: Findings) -> Table | None:
    """Return DPO, PPO and their difference for each pair, and the mean over pairs."""
    sides = next((one for one in sides_of(found) if one.treatment == "PPO"), None)
    return pair_table(found, sides) if sides is not None and sides.control == "DPO" else None


def pair_table(found: Findings, sides: Sides) -> Table | None:
    """Return three rows a pair (control, treatment, difference), then the mean over pairs."""
    metrics = [found.evidence.metrics[name] for name in found.evidence.headline]
    pairs = found.rows(sides.kind)
    if not pairs or not metrics:
        return None
    titles = _titles(found, pairs)
    blocks = [
        (title, _block(found, pair, sides, metrics))
        for title, pair in zip(titles, pairs, strict=True)
    ]
    over = [over_pairs(found, sides.kind, metric) for metric in metrics]
    if max(one.groups for one in over) > 1:
        blocks.append((_mean_title(over), _means(over, sides, metrics)))
    rows = [row for _, block in blocks for row in block]
    return Table(
        sides.name,
        f"{sides.control} and {sides.treatment}, everything else equal. Δ is {sides.treatment} −"
        f" {sides.control} from unrounded scores, paired by item where items are known, with its"
        " 95 % interval; beside a score the half width of its own.",
        ("arm", *(text.heading(metric) for metric in metrics)),
        tuple(rows),
        (
            OF_BOLD.format("the better of its pair")
            + shade_note((field for row in rows for field in row), _SHADED),
            *_notes(found, sides, over),
            *legend_of(field.text for row in rows for field in row[1:]),
        ),
        groups=tuple(RowGroup(title, len(block)) for title, block in blocks),
        sortable=False,
    )


def _titles(found: Findings, pairs: Sequence[EffectRow]) -> list[str]:
    """Return what both cells of a pair have in common, where that tells the pairs apart."""
    titles = []
    for pair in pairs:
        left, right = found.study.levels_of(pair.treatment), found.study.levels_of(pair.control)
        titles.append(" · ".join(level for n, level in left.items() if right.get(n) == level))
    return titles if all(titles) and len(set(titles)) == len(pairs) else [p.label for p in pairs]


def _block(
    found: Findings, pair: EffectRow, sides: Sides, metrics: Sequence[MetricRow]
) -> list[tuple[Cell, ...]]:
    names, cells = (sides.control, sides.treatment), (pair.control, pair.treatment)
    columns = []
    for metric in metrics:
        fields = [shaded_score(found, cell, metric) for cell in cells]
        columns.append([*best_of(fields, metric), _delta(found, pair, metric)])
    heads = [
        *(Cell(n, badge(found, cell)) for n, cell in zip(names, cells, strict=True)),
        Cell("Δ", slanted=True),
    ]
    return [(head, *(column[i] for column in columns)) for i, head in enumerate(heads)]


def _delta(found: Findings, pair: EffectRow, metric: MetricRow) -> Cell:
    sides = (pair.treatment, pair.control)
    matches = (r for r in found.rows(pair.kind, metric.metric))
    row = next((r for r in matches if (r.treatment, r.control) == sides), None)
    if row is None or math.isnan(row.effect.value):
        return Cell(text.DASH, tone="muted", hint="no score on one side")
    value, sub, hint = text.signed(row.effect.value, metric.unit), "", "no interval, so no verdict"
    if row.shown.defined or row.invalid:
        value = f"{row.verdict.symbol} {value}"
        sub = text.interval(row.shown, metric.unit) if row.shown.defined else ""
        hint = f"{row.verdict.value}; adjusted p {text.p_text(row.p_adjusted)}"
    return Cell(
        *(value, sub, row.effect.value, tone_of(row), hint),
        low=row.shown.low,
        high=row.shown.high,
        slanted=True,
    )


def _mean_title(over: Sequence[OverPairs]) -> str:
    groups, pairs = max(one.groups for one in over), max(one.pairs for one in over)
    if groups == pairs:
        return f"Over {pairs} pairs"
    return f"Over {groups} groups of pairs ({pairs} pairs, those that share a cell in one group)"


def _means(
    over: Sequence[OverPairs], sides: Sides, metrics: Sequence[MetricRow]
) -> list[tuple[Cell, ...]]:
    units = [mean_unit(metric.unit) for metric in metrics]
    means = [_mean(one, unit) for one, unit in zip(over, units, strict=True)]
    won = [Cell(f"{one.wins} of {one.groups}", sort=float(one.wins)) for one in over]
    signs = [_p(one.sign_p) for one in over]
    tests = [_p(one.mean.p_value) for one in over]
    holm = [_p(one.p_adjusted) if one.adjusted else Cell("") for one in over]
    said = [Cell(f"{one.verdict.symbol} {one.verdict.value}") for one in over]
    rows = [
        (Cell("mean Δ", slanted=True), *means),
        (Cell(f"{sides.treatment} better in"), *won),
        (Cell("sign test p"), *signs),
        (Cell("t test p"), *tests),
        (Cell("p, Holm over categories"), *holm),
        (Cell("verdict on the mean"), *said),
    ]
    return [row for row in rows if any(cell.text for cell in row[1:])]


def mean_unit(unit: str) -> str:
    """Return the unit that a mean over pairs is printed in: a digit more for percentages."""
    return "points" if unit == "percent" else unit


def _mean(one: OverPairs, unit: str) -> Cell:
    mean = one.mean
    if math.isnan(mean.value):
        return Cell(text.DASH, tone="muted", hint="no pair has this score")
    said = Cell(text.signed(mean.value, unit), text.interval(mean, unit), mean.value, slanted=True)
    return replace(said, tone=tone_of_verdict(one.verdict), low=mean.low, high=mean.high)


def _p(value: float) -> Cell:
    if math.isnan(value):
        return Cell(text.DASH, tone="muted", hint="fewer than two groups of pairs with this score")
    return Cell(text.p_text(value), sort=value)


def _notes(found: Findings, sides: Sides, over: Sequence[OverPairs]) -> Iterator[str]:
    cells = [cell for row in found.rows(sides.kind) for cell in (row.control, row.treatment)]
    yield from notes_on_rows(found, sides.kind, cells)
    if max(one.groups for one in over) > 1:
        yield (
            "Over pairs: groups of pairs are the replicates of the t interval and of the exact sign"
            " test, so it is a claim about other pairs like these. Pairs that share a cell are not"
            " independent and count once, as their mean. Holm corrects over the categories."
        )


def pair_sentences(found: Findings) -> Iterator[str]:
    """Yield what the study's two-level comparisons say of the primary metric, no more."""
    metric = found.evidence.metric(found.study.primary)
    if metric is None:
        return
    for sides in sides_of(found):
        over = over_pairs(found, sides.kind, metric)
        if over.groups < 2:
            continue
        unit = mean_unit(metric.unit)
        name = "points" if metric.unit == "percent" else f"({metric.unit})"
        lead = "Over" if sides.declared else "Exploratory: over"
        yield (
            f"{lead} {over.said}, {sides.treatment} minus {sides.control} averages"
            f" {text.effect(over.mean, unit)} {name}: {over.verdict.value} (t test p"
            f" {text.p_text(over.mean.p_value)}). {sides.treatment} is better in {over.wins} of"
            f" {over.groups} (exact sign test p {text.p_text(over.sign_p)})."
        )
