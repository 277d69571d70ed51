"""Leave-one-out: what changing one option of the baseline does, largest change first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ablate.reporting import text
from ablate.reporting.contrasts import baseline_cell
from ablate.reporting.effects import EffectRow
from ablate.reporting.findings import Findings
from ablate.reporting.marks import notes_on_rows
from ablate.reporting.tables import Cell, Table, known, tone_of

FEWEST = 2
"""Options below which an order by size says nothing."""
COSTS = ("seconds", "generated_tokens")
"""Budgets whose ratio is shown, the first that both cells spent."""


@dataclass(frozen=True)
class Option:
    """A cell that differs from the baseline in one factor only."""

    cell: str
    factor: str
    level: str
    usual: str
    """The baseline's level."""


def options_of(found: Findings) -> tuple[Option, ...]:
    """Return every cell that changes one factor of the baseline and nothing else."""
    first = baseline_cell(found.study)
    if first is None:
        return ()
    usual = found.study.levels_of(first)
    options = []
    for cell in found.study.cells:
        changed = list(_changed(found.study.levels_of(cell), usual))
        if cell != first and usual and len(changed) == 1:
            name = changed[0]
            level = found.study.levels_of(cell).get(name, text.DASH)
            options.append(Option(cell, name, level, usual.get(name, text.DASH)))
    return tuple(options)


def _changed(levels: Mapping[str, str], usual: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys([*usual, *levels]):
        if levels.get(name) != usual.get(name):
            yield name


def option_table(found: Findings) -> Table | None:
    """Return a row an option, ordered by the size of its effect on the primary metric.

    For designs that change one factor at a time, and lists of cells that do so. None below two
    options: there is nothing to order.
    """
    rows = {row.treatment: row for row in found.rows("baseline")}
    options = [option for option in options_of(found) if option.cell in rows]
    one_by_one = found.study.design in ("one_factor_at_a_time", "cells")
    metric = found.evidence.metric(found.study.primary)
    if not one_by_one or len(options) < FEWEST or metric is None:
        return None
    options.sort(key=lambda option: _size(rows[option.cell]), reverse=True)
    fields = [_row(found, option, rows[option.cell], metric.unit) for option in options]
    first = str(baseline_cell(found.study))
    return Table(
        "options",
        f"One option of {first} changed at a time: what it does to {text.label(metric.metric)},"
        " largest difference first.",
        ("option", "level", "instead of", "Δ [95 % CI]", "adj. p", "verdict", "cost"),
        tuple(fields),
        (
            "Cost: what a run with the option spends over what one of the baseline does, wall"
            " seconds where known, else generated tokens. The order is that of sizes, not of"
            " evidence: neighbours need not differ.",
            *_notes(found, [first, *(option.cell for option in options)]),
        ),
    )


def _notes(found: Findings, cells: Sequence[str]) -> Iterator[str]:
    said = list(notes_on_rows(found, "baseline", cells))
    # Of the primary metric alone: what is said of other columns concerns none here.
    yield from said[1:] if found.declared("baseline") else said


def _size(row: EffectRow) -> float:
    value = abs(row.effect.value)
    return -math.inf if math.isnan(value) else value


def _row(found: Findings, option: Option, row: EffectRow, unit: str) -> tuple[Cell, ...]:
    shown = row.shown
    said = text.effect(shown, unit) if shown.defined else text.signed(row.effect.value, unit)
    low, high = shown.low, shown.high
    return (
        Cell(option.factor),
        Cell(option.level),
        Cell(option.usual),
        Cell(said, sort=known(row.effect.value), tone=tone_of(row), low=low, high=high),
        Cell(text.p_text(row.p_adjusted), sort=known(row.p_adjusted)),
        Cell(f"{row.verdict.symbol} {row.verdict.value}"),
        _cost(found, option.cell),
    )


def _cost(found: Findings, cell: str) -> Cell:
    first = str(baseline_cell(found.study))
    for unit in COSTS:
        spent, usual = (_mean_spent(found, name, unit) for name in (cell, first))
        if spent > 0 and usual > 0:
            return Cell(f"× {spent / usual:.2f}", sort=spent / usual)
    return Cell(text.DASH, tone="muted", hint="what both spent is not known")


def _mean_spent(found: Findings, cell: str, unit: str) -> float:
    spent = [run.spent[unit] for run in found.study.runs_of(cell) if unit in run.spent]
    return math.fsum(spent) / len(spent) if spent else math.nan
