"""The data ablation: what each preference data set makes of the same starting point."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ablate.data.artifacts import CARD
from ablate.data.contamination import RESULT
from ablate.data.hygiene.card import Card
from ablate.reporting import text
from ablate.reporting.artifacts import read_file
from ablate.reporting.contrasts import baseline_cell
from ablate.reporting.effects import score_of
from ablate.reporting.findings import Findings
from ablate.reporting.flags import legend_of
from ablate.reporting.marks import OF_BOLD, badge, best_of, delta_below, notes_on_rows, shade_note
from ablate.reporting.tables import Cell, RowGroup, Table

DATASET, ALGORITHM = "dataset", "algorithm"
LENGTH = "length_tokens"
_SHADED = "Shaded: better (▲, blue) or worse (▼, orange) than the baseline after correction."


@dataclass(frozen=True)
class Grouped:
    """Cells under one heading."""

    title: str
    cells: tuple[str, ...]


def dataset_table(found: Findings, *, by_average: bool = False) -> Table | None:
    """Return a row for each data set under its group's heading, starting points on top.

    None where fewer than two data sets, or several algorithms without groups, would stand in it.
    Rows are in the order of the study; ``by_average`` sorts those of a group.
    """
    groups = _groups(found)
    if groups is None:
        return None
    if by_average:
        groups = [Grouped(g.title, _sorted(found, g.cells)) for g in groups]
    cells = [cell for group in groups for cell in group.cells]
    metrics = [found.evidence.metrics[name] for name in found.evidence.headline]
    columns = [[_head(found, cell, cells) for cell in cells]]
    titles = ["data set"]
    for title, fields in _facts(found, cells):
        titles.append(title)
        columns.append(fields)
    scored = [
        best_of([delta_below(found, cell, metric) for cell in cells], metric) for metric in metrics
    ]
    titles += [text.heading(metric) for metric in metrics]
    columns += scored
    if LENGTH in found.evidence.metrics:
        titles.append("mean length (tokens)")
        columns.append([_length(found, cell) for cell in cells])
    fields = [field for column in scored for field in column]
    return Table(
        "datasets",
        "One row a data set, everything else equal. Below each score its difference to"
        f" {baseline_cell(found.study) or 'the baseline'} in points.",
        tuple(titles),
        tuple(zip(*columns, strict=True)),
        (
            OF_BOLD.format("the best of its column") + shade_note(fields, _SHADED),
            "Grey: a score whose difference is not decided.",
            *_notes(found, cells, titles),
            *legend_of(field.text for field in fields),
        ),
        groups=tuple(RowGroup(g.title, len(g.cells)) for g in groups),
    )


def _groups(found: Findings) -> list[Grouped] | None:
    study = found.study
    first = baseline_cell(study)
    headings = {run.cell: run.group for run in study.runs}
    with_data = [c for c in study.cells if DATASET in study.levels_of(c) or headings.get(c)]
    top = [c for c in study.cells if c == first or c not in with_data]
    rows = [cell for cell in with_data if cell != first]
    names = {study.levels_of(cell).get(DATASET, cell) for cell in with_data}
    ways = {study.levels_of(cell).get(ALGORITHM, "") for cell in rows}
    grouped = any(headings[cell] for cell in rows)
    if len(names) < 2 or not rows or (len(ways) > 1 and not grouped):
        return None
    ordered = dict.fromkeys(headings[cell] for cell in rows)
    groups = [Grouped("", tuple(top))] if top else []
    return groups + [
        Grouped(title, tuple(cell for cell in rows if headings[cell] == title)) for title in ordered
    ]


def _sorted(found: Findings, cells: Sequence[str]) -> tuple[str, ...]:
    def key(cell: str) -> float:
        value = score_of(found.evidence, cell, "average").value
        return math.inf if math.isnan(value) else -value

    return tuple(sorted(cells, key=key))


def _head(found: Findings, cell: str, cells: Iterable[str]) -> Cell:
    """Return the data set's name where it tells the rows apart, else the cell's."""
    names = [found.study.levels_of(other).get(DATASET, other) for other in cells]
    name = found.study.levels_of(cell).get(DATASET, cell)
    return Cell(name if names.count(name) == 1 else cell, badge(found, cell))


def _facts(found: Findings, cells: Sequence[str]) -> Iterator[tuple[str, list[Cell]]]:
    """Yield what is known of the data themselves: how many pairs, and how many of them leak."""
    sizes = [_samples(found, cell) for cell in cells]
    if any(size is not None for size in sizes):
        missing = Cell(text.DASH, tone="muted", hint="no preference data, or size not known")
        counted = [missing if n is None else Cell(f"{n:,}", sort=float(n)) for n in sizes]
        yield "# samples", counted
    shares = [_contamination(found, cell) for cell in cells]
    if any(not math.isnan(share) for share in shares):
        missing = Cell(text.DASH, tone="muted", hint="not compared with the suite")
        leaks = [
            missing if math.isnan(share) else Cell(text.plain(share), sort=share)
            for share in shares
        ]
        yield "contamination (%)", leaks


def _samples(found: Findings, cell: str) -> int | None:
    for run in found.study.runs_of(cell):
        if run.preferences is not None:
            return run.preferences
        folder = run.folder("preferences")
        if folder is not None and (folder / CARD).exists():
            card: Card = read_file(folder / CARD, Card.from_json)
            return card.rows
    return None


def _contamination(found: Findings, cell: str) -> float:
    """Return the share of the suite's documents that a cell's preference data hold, in percent."""
    for run in found.study.runs_of(cell):
        folder = run.folder("contamination_preferences")
        if folder is not None and (folder / RESULT).exists():
            result = read_file(folder / RESULT, json.loads)
            documents = result.get("documents") or 0
            seen = result.get("exact", 0) + result.get("ngram", 0)
            return 100 * seen / documents if documents else math.nan
    return math.nan


def _length(found: Findings, cell: str) -> Cell:
    score = score_of(found.evidence, cell, LENGTH)
    if math.isnan(score.value):
        return Cell(text.DASH, tone="muted", hint="no outputs of this row are known")
    return Cell(text.plain(score.value, "tokens"), sort=score.value)


def _notes(found: Findings, cells: Sequence[str], titles: Sequence[str]) -> Iterator[str]:
    if "contamination (%)" in titles:
        yield "Contamination: documents of the suite that the data hold, whole or in 8-grams."
    yield from notes_on_rows(found, "baseline", cells)
