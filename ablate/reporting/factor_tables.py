"""Tables of a factorial analysis: levels, terms, terms by metric, variance components."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ablate.reporting import text
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.evidence import Evidence
from ablate.reporting.factorial import Analysed, arms_of, factor_analyses
from ablate.reporting.findings import Findings
from ablate.reporting.tables import Cell, RowGroup, Table, known
from ablate.stats.components import one_way_components, run_variance
from ablate.stats.estimate import Estimate
from ablate.stats.factorial import Term
from ablate.stats.multiplicity import adjust

EXPLORATORY = "Exploratory: no study declares these tests."


def level_table(found: Findings) -> Table | None:
    """Return the marginal mean of every level, and its difference to the factor's first one."""
    analyses = factor_analyses(found)
    if not analyses:
        return None
    unit = _unit(found, found.study.primary)
    rows, groups = [], []
    for one in analyses:
        for factor in one.result.levels:
            own = [level for level in one.result.means if level.factor == factor]
            rows += [
                (
                    Cell(level.level),
                    _estimate(level.mean, unit, signed=False),
                    _estimate(level.difference, unit, signed=True),
                    Cell(str(level.cells), sort=float(level.cells)),
                    Cell(str(level.runs), sort=float(level.runs)),
                )
                for level in own
            ]
            groups.append(RowGroup(_heading(analyses, one, factor), len(own)))
    name = text.label(found.study.primary)
    return Table(
        "factor-levels",
        f"Marginal means of {name}: over all combinations of the other factors, each counted alike."
        " 95 % intervals, for comparing levels: what all cells share is not in them.",
        ("level", "mean [95 % CI]", "Δ to first level [95 % CI]", "cells", "runs"),
        tuple(rows),
        notes=_errors(analyses),
        groups=tuple(groups),
        sortable=False,
    )


def _heading(analyses: Sequence[Analysed], one: Analysed, factor: str) -> str:
    return factor if len(analyses) == 1 else f"{factor}, in {one.grid.title}"


def term_table(found: Findings) -> Table | None:
    """Return the analysis of variance of the primary metric, one group of rows a grid."""
    analyses = factor_analyses(found)
    if not analyses:
        return None
    rows, groups = [], []
    for one in analyses:
        adjusted = adjust([term.p_value for term in one.result.terms], "bh")
        for term, p_value in zip(one.result.terms, adjusted, strict=True):
            rows.append(_term_row(term, p_value))
        rows.append(_error_row(one))
        groups.append(RowGroup(one.grid.title, len(one.result.terms) + 1))
    return Table(
        "factor-terms",
        f"Analysis of variance of {text.label(found.study.primary)} by factor, type II."
        f" {EXPLORATORY} Adjusted by Benjamini-Hochberg over the terms of a grid.",
        ("term", "df", "F", "p", "adj. p", "share (%)", "partial η²"),
        tuple(rows),
        notes=(
            "Share: of the sum of squares between cells. Partial η² is large by chance alone where"
            " the error has few degrees of freedom.",
        ),
        groups=tuple(groups) if len(analyses) > 1 else (),
        sortable=False,
    )


def _term_row(term: Term, adjusted: float) -> tuple[Cell, ...]:
    return (
        Cell(term.name),
        Cell(str(term.degrees), sort=float(term.degrees)),
        _number(term.f_statistic, 2),
        Cell(text.p_text(term.p_value), sort=known(term.p_value)),
        Cell(text.p_text(adjusted), sort=known(adjusted)),
        _number(100 * term.share, 1),
        _number(term.partial_eta_squared, 2),
    )


def _error_row(one: Analysed) -> tuple[Cell, ...]:
    """Return the last line: what the terms are tested against."""
    degrees = one.result.error_degrees
    none = Cell(text.DASH, tone="muted", hint="the error itself")
    head = Cell("error", sub=one.result.error_name)
    return (head, _number(degrees, 0 if degrees == round(degrees, 6) else 1), *(none,) * 5)


def _number(value: float, digits: int) -> Cell:
    if not math.isfinite(value):
        return Cell(text.DASH, tone="muted", hint="undefined")
    return Cell(f"{value:.{digits}f}".replace("-", text.MINUS), sort=value)


def _estimate(estimate: Estimate, unit: str, *, signed: bool) -> Cell:
    if math.isnan(estimate.value):
        return Cell(text.DASH, tone="muted", hint="the first level")
    bounds = (estimate.low, estimate.high)
    shown = text.effect(estimate, unit)
    if not signed:
        inside = ", ".join(text.plain(bound, unit) for bound in bounds)
        shown = f"{text.plain(estimate.value, unit)} [{inside if estimate.defined else 'n/a'}]"
    return Cell(shown, sort=estimate.value, low=bounds[0], high=bounds[1])


def _errors(analyses: Sequence[Analysed]) -> tuple[str, ...]:
    """Say what differences are measured against, and what is not in an analysis."""
    errors = dict.fromkeys(one.result.error_name for one in analyses)
    notes = []
    for one in analyses:
        lead = f"{one.grid.title}: " if len(analyses) > 1 else ""
        if len(errors) > 1:
            notes.append(f"{lead}error term: {one.result.error_name}.")
        notes += [f"{lead}{said}" for said in one.left_out]
        notes += [
            f"{lead}{name} follows from {other} and is no factor of its own."
            for name, other in one.grid.follows.items()
        ]
    common = [f"Error term: {next(iter(errors))}."] if len(errors) == 1 else []
    return tuple(dict.fromkeys([*common, *notes]))


def metric_table(found: Findings) -> Table | None:
    """Return what share of the differences between cells each term has, metric by metric.

    Of the largest grid; None for one metric.
    """
    names = dict.fromkeys([*found.evidence.headline, found.study.primary])
    by_metric = {
        name: analyses[0]
        for name in names
        if name in found.evidence.metrics and (analyses := factor_analyses(found, name))
    }
    if len(by_metric) < 2:
        return None
    terms = dict.fromkeys(term.name for one in by_metric.values() for term in one.result.terms)
    rows = [(Cell(term), *(_share(one, term) for one in by_metric.values())) for term in terms]
    return Table(
        "factor-metrics",
        f"Which factor moves which score: share of the differences between cells and p, for"
        f" {next(iter(by_metric.values())).grid.title}. {EXPLORATORY} Not adjusted.",
        ("term", *(text.label(name) for name in by_metric)),
        tuple(rows),
        sortable=False,
    )


def _share(one: Analysed, name: str) -> Cell:
    term = next((term for term in one.result.terms if term.name == name), None)
    if term is None or math.isnan(term.share):
        return Cell(text.DASH, tone="muted", hint="not in the analysis of this score")
    p_value = text.p_text(term.p_value)
    sub = f"p {p_value}" if p_value.startswith("<") else f"p = {p_value}"
    return Cell(f"{100 * term.share:.0f} %", sub=sub, sort=100 * term.share)


def variance_table(found: Findings) -> Table | None:
    """Return what one run's score on the primary metric varies by."""
    cells = trained(found)
    name, metric = found.study.primary, found.evidence.metric(found.study.primary)
    if metric is None or len(cells) < 2:
        return None
    parts = list(_parts(found.evidence, cells, metric))
    if not parts:
        return None
    total = math.fsum(max(0.0, variance) for _, variance, _ in parts)
    rows = [
        (
            Cell(title),
            Cell(text.plain(math.sqrt(max(0.0, variance)), metric.unit), sort=max(0.0, variance))
            if variance > 0
            else Cell("0", sort=0.0, hint="the estimate is not above 0"),
            _number(100 * max(0.0, variance) / total if total > 0 else math.nan, 0),
            Cell(said, wide=True),
        )
        for title, variance, said in parts
    ]
    measure = "points" if metric.unit == "percent" else text.unit_name(metric.unit)
    return Table(
        "variance-components",
        f"What the {text.label(name)} of one run varies by, over {len(cells)} cells: moments of the"
        " analysis of variance.",
        ("part", f"SD ({measure})", "share (%)", "what makes it smaller"),
        tuple(rows),
        sortable=False,
    )


def trained(found: Findings) -> list[str]:
    """Return the cells that were trained, have results and none that is invalid."""
    return [
        cell
        for cell in found.study.cells
        if found.evidence.finished(cell)
        and not found.evidence.invalid(cell)
        and all(run.kind == "policy" for run in found.study.runs_of(cell))
    ]


def _parts(
    evidence: Evidence, cells: Sequence[str], metric: MetricRow
) -> Iterator[tuple[str, float, str]]:
    """Yield each part's name, variance and remedy; nothing without two seeds anywhere."""
    arms = arms_of(evidence, cells, metric.metric)
    if arms:
        parts = run_variance(arms)
        cancels = "more items; it cancels in differences, where all cells have the same ones"
        yield "seed (within cells)", parts.seed, "more seeds"
        yield "item", parts.item, cancels
        yield "item × cell", parts.item_arm, "more items"
        yield "residual (item × seed)", parts.residual, "more items, more seeds, more samples"
        return
    values = [list(evidence.values(cell, metric.metric).values()) for cell in cells]
    finite = [[v for v in own if math.isfinite(v)] for own in values]
    found = one_way_components(finite)
    if math.isfinite(found.between):
        yield "cell", found.between, "nothing: it is what the study looks for"
        yield "seed (within cells)", found.within, "more seeds"


def _unit(found: Findings, name: str) -> str:
    metric = found.evidence.metric(name)
    return "percent" if metric is None else metric.unit
