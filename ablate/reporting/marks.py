"""What stands at a row or a field beside its number: bold, shade, badges, and their legends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ablate.reporting import text
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.effects import EffectRow
from ablate.reporting.findings import Findings
from ablate.reporting.tables import Cell, cell_score, tone_of

OF_BOLD = "Bold: {} on unrounded scores, ties included, which is not a claim."


def best_of(fields: Sequence[Cell], metric: MetricRow) -> list[Cell]:
    """Return the fields of a column with the best in bold, all of them on a tie.

    Values are compared unrounded. Nothing is bold below two values or without a good direction.
    """
    values = [field.sort for field in fields if field.sort is not None]
    if metric.direction == "none" or len(values) < 2:
        return list(fields)
    best = max(values) if metric.direction == "higher" else min(values)
    return [replace(field, strong=field.sort == best) for field in fields]


def shaded_score(found: Findings, cell: str, metric: MetricRow) -> Cell:
    """Return a cell's score with its marks, shaded as its difference to the baseline is decided."""
    field = cell_score(found, cell, metric)
    rows = found.rows("baseline", metric.metric)
    row = next((row for row in rows if row.treatment == cell), None)
    return field if field.tone or row is None else replace(field, tone=tone_of(row))


def delta_below(found: Findings, cell: str, metric: MetricRow) -> Cell:
    """Return a cell's score with its difference to the baseline below it, shaded where decided.

    A score whose difference is not decided is grey; a difference without any interval, as that of
    two published numbers, has no verdict beside it.
    """
    field = shaded_score(found, cell, metric)
    rows = found.rows("baseline", metric.metric)
    row = next((row for row in rows if row.treatment == cell), None)
    if row is None or field.sort is None:
        return field
    delta = text.signed(row.effect.value, metric.unit)
    if row.shown.defined:
        delta = f"{row.verdict.symbol} {delta}"
    hint = "; ".join(filter(None, (field.hint, _said(row))))
    tone = field.tone or "muted"
    return replace(field, sub=delta, hint=hint, tone=tone)


def _said(row: EffectRow) -> str:
    if not row.shown.defined:
        return "no interval, so no verdict"
    return f"{row.verdict.value}; adjusted p {text.p_text(row.p_adjusted)}"


def badge(found: Findings, cell: str) -> str:
    """Say below a cell's name what it is, where it is no cell of the study's own making."""
    said = ["published"] if found.evidence.source(cell) else []
    said += ["preliminary *"] if found.study.preliminary(cell) else []
    return "; ".join(said)


def declared_when(found: Findings) -> str:
    """Return whether all that the study declares was declared before its results."""
    early = not found.study.amendments
    return "Declared before the results" if early else "Declared after some results existed"


def claim_note(found: Findings, kind: str) -> str:
    """Say which numbers of a comparison were declared before the results."""
    if not found.declared(kind):
        return "Exploratory: the study did not declare this comparison before its results."
    primary = text.label(found.study.primary)
    return f"{declared_when(found)}: {primary}. Every other column is exploratory."


def notes_on_rows(found: Findings, kind: str, cells: Iterable[str]) -> Iterator[str]:
    """Yield what a reader must know of a table's comparison and of its rows."""
    yield claim_note(found, kind)
    shown = list(dict.fromkeys(cells))
    yield from sources_of(found, shown)
    if any(found.study.preliminary(cell) for cell in shown):
        yield "* Preliminary: these numbers are not final."


def shade_note(fields: Iterable[Cell], said: str) -> str:
    """Return the sentence on shades where any field has one; else empty."""
    return f" {said}" if any(cell.tone in ("better", "worse") for cell in fields) else ""


def sources_of(found: Findings, cells: Iterable[str]) -> Iterator[str]:
    """Yield where published rows are from, and that they have no items and no seeds."""
    sources = dict.fromkeys(filter(None, (found.evidence.source(cell) for cell in cells)))
    if sources:
        yield (
            f"Published: {'; '.join(sources)}. Such a row has neither items nor seeds, so nothing"
            " pairs with it, and an interval only where a standard error is stated."
        )
