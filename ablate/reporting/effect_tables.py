"""Tables of effects: one line a contrast, with everything behind it."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.reporting import text
from ablate.reporting.effects import Basis, EffectRow, margin_of
from ablate.reporting.findings import Findings
from ablate.reporting.tables import Cell, Table, items_cell, known, points, seeds_cell, tone_of
from ablate.stats.verdicts import Verdict


def family_table(found: Findings, name: str) -> Table | None:
    """Return the effects of a family on the primary metric; None where it has none."""
    rows = found.rows(name)
    if not rows:
        return None
    family = next(family for family in found.families if family.name == name)
    lead = "" if family.declared else "Exploratory. "
    caption = f"{lead}{family.title}: {text.label(found.study.primary)}"
    return effects(found, rows, f"effects-{name.replace('_', '-')}", caption=caption)


def effects(found: Findings, rows: Sequence[EffectRow], name: str, *, caption: str) -> Table:
    """Return the effects with everything behind each: the data table of the forest plot."""
    unit = found.evidence.metrics[rows[0].metric].unit
    notes = [
        [*_look(found, row), *notes_of(row, margin_of(found.evidence, row.metric), unit)]
        for row in rows
    ]
    columns = ("contrast", "Δ [95 % CI]", "adj. p", "verdict", "detectable", "items", "seeds")
    return Table(
        name,
        caption,
        (*columns, "notes") if any(notes) else columns,
        tuple(
            (
                Cell(row.label, sub=f"against {row.control}"),
                _difference(row, unit),
                Cell(text.p_text(row.p_adjusted), sort=known(row.p_adjusted)),
                Cell(f"{row.verdict.symbol} {row.verdict.value}"),
                Cell(text.plain(row.detectable, unit), sort=known(row.detectable)),
                items_cell(row.shown.n_items or row.effect.n_items),
                seeds_cell(found, row),
                *((Cell("; ".join(said), wide=True),) if any(notes) else ()),
            )
            for row, said in zip(rows, notes, strict=True)
        ),
    )


def _difference(row: EffectRow, unit: str) -> Cell:
    shown, said = row.shown, text.effect(row.shown, unit)
    low, high = shown.low, shown.high
    return Cell(said, sort=row.effect.value, tone=tone_of(row), low=low, high=high)


def _look(found: Findings, row: EffectRow) -> list[str]:
    """Say at which look a declared comparison stopped; nothing of any other."""
    if row.standing is None or not row.confirmatory:
        return []
    return [row.standing.said(found.study.alpha)]


_CROSSED = (Basis.CROSSED, Basis.MATCHED)
"""Intervals that more seeds would shorten."""


def notes_of(row: EffectRow, margin: float, unit: str) -> list[str]:
    """Say what a reader must know beside an effect: tripwires, one seed, what would resolve it."""
    notes = [*row.invalid, *row.warnings]
    if row.basis is Basis.SEEDS:
        notes.append("no item scores: interval over seeds only")
    if row.invalid or row.verdict is not Verdict.INCONCLUSIVE:
        return notes
    if not row.effect.defined and row.checkpoint.defined:
        notes.append(f"1 seed: interval over items only; {_tipping(row.tipping_seed_sd, unit)}")
    elif row.basis is Basis.BORROWED:
        notes.append("1 seed: its spread over seeds is that of other cells")
    elif row.seeds_to_resolve is not None:
        notes.append(f"{row.seeds_to_resolve} seeds a side would show {points(margin, unit)}")
    elif row.basis in _CROSSED and row.effect.defined and row.detectable > margin > 0:
        shown = points(margin, unit)
        notes.append(f"more seeds alone cannot show {shown}: more items are needed too")
    return notes


def _tipping(seed_sd: float, unit: str) -> str:
    if not seed_sd > 0:
        return "not significant even so"
    return f"no longer significant at a seed-to-seed SD above {text.plain(seed_sd, unit)}"
