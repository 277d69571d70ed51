"""Tables of a ranking: cells, pairs of cells, and what each benchmark can tell apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ablate.reporting import text
from ablate.reporting.contrasts import baseline_cell
from ablate.reporting.findings import Findings
from ablate.reporting.ranking import Benchmarks, Ranking, benchmarks_of, pooled_noise, ranking_of
from ablate.reporting.tables import Cell, Table, cell_score
from ablate.stats.profiles import FEWEST_BENCHMARKS, improvement_probability, interquartile_mean
from ablate.stats.signal import separation

MATRIX = 8
"""Cells of the matrix of pairs, those with the best scores."""
NONE = Cell(text.DASH, tone="muted", hint="undefined")
_ALIKE = Cell(text.DASH, tone="muted", hint="all cells score alike")


def ranking_table(found: Findings) -> Table | None:
    """Return each cell with the ranks it may have, and how it does over benchmarks."""
    ranking, metric = ranking_of(found), found.evidence.metric(found.study.primary)
    if ranking is None or metric is None:
        return None
    over = benchmarks_of(found, ranking.cells)
    rows = []
    for place, cell in enumerate(ranking.cells):
        low, high = ranking.interval(place)
        first = float(ranking.chances[place, 0])
        fields = (
            cell_score(found, cell, metric),
            _number(float(ranking.mean_ranks[place]), 1),
            Cell(f"{low}–{high}" if low < high else str(low), sort=float(low)),
            Cell(_chance(first), sort=first),
            Cell("● yes" if ranking.best[place] else "no", sort=float(ranking.best[place])),
        )
        rows.append((Cell(cell), *fields, *_over_benchmarks(found, over, cell)))
    columns = ("cell", text.label(metric.metric), "expected rank", "95 % of ranks", "best (P)")
    more = _benchmark_columns(found, over)
    return Table(
        "ranking",
        f"Ranks on {text.label(metric.metric)}, were items and seeds drawn again. ●: cannot be told"
        f" from the cell with the best score (all pairs adjusted, α = {ranking.alpha:g}).",
        (*columns, "among the best", *more),
        tuple(rows),
        notes=(*_sure(ranking), *_notes(found, over, more), *ranking.left_out),
    )


def _sure(ranking: Ranking) -> tuple[str, ...]:
    said = "Cells with one seed: items alone are drawn again, so their ranks look too sure."
    return (said,) if ranking.has_one_seed else ()


def _benchmark_columns(found: Findings, over: Benchmarks | None) -> tuple[str, ...]:
    if over is None:
        return ()
    middle = ("middle half (%)",) if _in_percent(found, over) else ()
    against = ("beats baseline (P)",) if _control(found) in over.cells else ()
    return ("best on", "strength", *against, *middle)


def _in_percent(found: Findings, over: Benchmarks) -> bool:
    """Return whether all scores have one unit and are enough for a mean of the middle half."""
    units = {found.evidence.metrics[name].unit for name in over.names}
    return units == {"percent"} and len(over.names) >= FEWEST_BENCHMARKS


def _control(found: Findings) -> str:
    return baseline_cell(found.study) or ""


def _over_benchmarks(found: Findings, over: Benchmarks | None, cell: str) -> tuple[Cell, ...]:
    columns = _benchmark_columns(found, over)
    if over is None or cell not in over.cells:
        return (Cell(text.DASH, tone="muted", hint="a benchmark is missing"),) * len(columns)
    place = over.cells.index(cell)
    best = int((over.means[place] == over.means.max(axis=0)).sum())
    fields = [
        Cell(f"{best} of {len(over.names)}", sort=float(best)),
        _number(float(over.strengths[place]), 2, signed=True),
    ]
    if "beats baseline (P)" in columns:
        control = over.runs[over.cells.index(_control(found))]
        chance = improvement_probability(over.runs[place], control)
        alike = Cell(text.DASH, tone="muted", hint="the baseline itself")
        fields.append(alike if cell == _control(found) else Cell(_chance(chance), sort=chance))
    if _in_percent(found, over):
        fields.append(_number(interquartile_mean(over.runs[place]), 1))
    return tuple(fields)


def _notes(found: Findings, over: Benchmarks | None, columns: Sequence[str]) -> list[str]:
    if over is None:
        return []
    named = ", ".join(text.label(name) for name in over.names)
    notes = [
        f"Benchmarks: {named}. Strength: Bradley-Terry logits of wins over benchmarks and pairs of"
        " runs; undefined for a cell that never wins or never loses."
    ]
    if "beats baseline (P)" in columns:
        notes.append(
            "Beats baseline: how often a run is above a run of the baseline, mean over benchmarks."
        )
    if _in_percent(found, over):
        notes.append("Middle half: mean of the middle half of all scores of runs on benchmarks.")
    return notes


def _chance(value: float) -> str:
    return "< 0.01" if 0 <= value < 0.005 else f"{value:.2f}"


def _number(value: float, digits: int, *, signed: bool = False) -> Cell:
    if not math.isfinite(value):
        return NONE
    shown = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return Cell(shown.replace("-", text.MINUS), sort=value)


def pair_matrix(found: Findings) -> Table | None:
    """Return the difference of every two of the best cells, with wins over benchmarks and p."""
    ranking, metric = ranking_of(found), found.evidence.metric(found.study.primary)
    if ranking is None or metric is None:
        return None
    shown = range(min(MATRIX, len(ranking.cells)))
    adjusted = ranking.pairs(shown)
    over = benchmarks_of(found, [ranking.cells[place] for place in shown])
    rows = [
        (
            Cell(f"{one + 1}. {ranking.cells[one]}"),
            *(
                _pair(ranking, one, other, p_value=adjusted.get((one, other)), over=over,
                      unit=metric.unit)
                for other in shown
            ),
        )
        for one in shown
    ]  # fmt: skip
    cells, every = len(rows), len(ranking.cells)
    among = f" The best {cells} of {every} cells." if cells < every else ""
    counts = "; below it wins, ties and losses over benchmarks, and p" if over else "; below it p"
    return Table(
        "pairs",
        f"Row minus column on {text.label(metric.metric)}{counts}, adjusted over all"
        f" {every * (every - 1) // 2} pairs by the smallest p of joint draws. Exploratory."
        f" *: p below {ranking.alpha:g}.{among}",
        ("row − column", *(f"− {place + 1}" for place in shown)),
        tuple(rows),
        sortable=False,
    )


def _pair(
    ranking: Ranking,
    one: int,
    other: int,
    *,
    p_value: float | None,
    over: Benchmarks | None,
    unit: str,
) -> Cell:
    if p_value is None:
        return Cell("", hint="the same cell")
    value = ranking.arms[one].score - ranking.arms[other].score
    mark = "*" if p_value < ranking.alpha else ""
    shown = text.p_text(p_value)
    said = f"p {shown}" if shown.startswith("<") else f"p = {shown}"
    names = ranking.cells[one], ranking.cells[other]
    if over is not None and all(name in over.cells for name in names):
        record = over.record(*(over.cells.index(name) for name in names))
        said = f"{'–'.join(map(str, record))}; {said}"
    return Cell(f"{text.signed(value, unit)}{mark}", sub=said, sort=value)


def benchmark_table(found: Findings) -> Table | None:
    """Return how far each benchmark separates the cells, against its spread over seeds."""
    over = benchmarks_of(found)
    if over is None or not any(len(rows) > 1 for rows in over.runs):
        return None
    rows = []
    for place, name in enumerate(over.names):
        metric = found.evidence.metrics[name]
        parts = separation(over.means[:, place], pooled_noise(over.runs, place))
        best = over.cells[int(np.argmax(over.means[:, place]))]
        rows.append(
            (
                Cell(text.label(name)),
                Cell(text.plain(float(np.ptp(over.means[:, place])), metric.unit)),
                _number(100 * parts.signal, 1),
                _number(100 * parts.noise, 1),
                Cell("∞", hint="no spread over seeds was seen")
                if parts.noise == 0
                else _number(parts.ratio, 1),
                Cell(best) if np.ptp(over.means[:, place]) > 0 else _ALIKE,
            )
        )
    return Table(
        "benchmarks",
        f"What each benchmark can tell apart among {len(over.cells)} cells: the largest difference"
        " of two cells over the standard deviation over seeds, both relative to the mean score.",
        (
            "benchmark",
            "largest difference",
            "signal (%)",
            "noise (%)",
            "signal / noise",
            "best cell",
        ),
        tuple(rows),
        notes=(
            "Noise is the spread over training seeds, pooled over cells. The largest of several"
            " differences is some noises wide by chance alone: 2 or 3 among 3 to 10 cells.",
        ),
    )
