"""The numbers behind the figures of a ranking."""

from __future__ import annotations

import numpy as np

from ablate.reporting import text
from ablate.reporting.figures.profiles import draw_profiles
from ablate.reporting.figures.ranking import (
    AverageRanks,
    RankRows,
    draw_critical_difference,
    draw_ranks,
)
from ablate.reporting.figures.save import Drawing
from ablate.reporting.findings import Findings
from ablate.reporting.ranking import DRAWS, FEWEST_CELLS, Benchmarks, benchmarks_of, ranking_of
from ablate.stats import profiles
from ablate.stats.friedman import FEWEST_BENCHMARKS, cliques

_PUBLISHED = " Published rows: scores as their sources state them."
MOST_NAMED = 20
"""Cells that fit on a diagram of average ranks."""
MOST_LINES = 10
FEW_SEEDS = 6
"""Below this many a t quantile is a quarter wider than the normal one, and more."""


def ranks(found: Findings) -> Drawing | None:
    """Return how likely each rank is for each cell on the primary metric."""
    ranking = ranking_of(found)
    if ranking is None:
        return None
    metric = text.label(found.study.primary)
    bands = [ranking.interval(place) for place in range(len(ranking.cells))]
    rows = RankRows(ranking.cells, ranking.chances, ranking.best, bands)
    marks = (
        "shares below 5 are not written"
        if rows.are_written
        else ("dots: expected rank; lines: 95 % of the redraws")
    )
    caption = (
        f"How often, in percent of {DRAWS:,} joint redraws of items and seeds, a cell has a rank,"
        f" darker for more; {marks}. ●: cannot be told from the cell with the best score (all pairs"
        f" adjusted, α = {ranking.alpha:g})."
    )
    seeds = min(arm.n_seeds for arm in ranking.arms)
    if ranking.has_one_seed:
        caption += " Cells with one seed: items alone are redrawn, so their ranks look too sure."
    elif seeds < FEW_SEEDS:
        caption += (
            f" Redraws take the spread over {seeds} seeds as known, so ranks look surer than the"
            " tests behind ●, which do not."
        )
    return draw_ranks(rows, "ranks", title=f"Ranks on {metric}", caption=caption)


def critical_difference(found: Findings) -> Drawing | None:
    """Return average ranks over benchmarks; None for fewer than five of these, or three cells.

    Of more cells than fit the page shows none: a choice among them would change every rank.
    """
    over = benchmarks_of(found)
    if over is None or len(over.names) < FEWEST_BENCHMARKS:
        return None
    if not FEWEST_CELLS <= len(over.cells) <= MOST_NAMED:
        return None
    test, alpha = over.test, found.study.alpha
    difference = test.critical_difference(alpha)
    groups = cliques([float(rank) for rank in test.ranks], difference)
    p_value = text.p_text(test.p_value)
    said = f"p {p_value}" if p_value.startswith("<") else f"p = {p_value}"
    caption = (
        f"Average rank over {test.benchmarks} benchmarks. Friedman's test in the form of Iman and"
        f" Davenport: F = {_f(test.f_statistic)}, {said}."
        f" Bars join cells that Nemenyi's test does not tell apart (α = {alpha:g}, all pairs)."
        " Ranks depend on which other cells are in the study."
        f"{_PUBLISHED if any(map(found.evidence.source, over.cells)) else ''}"
    )
    rows = AverageRanks(over.cells, test.ranks, groups, difference)
    title = "Average ranks over benchmarks"
    return draw_critical_difference(rows, "critical-difference", title=title, caption=caption)


def _f(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "∞"


def performance_profile(found: Findings) -> Drawing | None:
    """Return what share of each cell's results is above a score; None below eight benchmarks."""
    over = benchmarks_of(found)
    if over is None or len(over.names) < profiles.FEWEST_BENCHMARKS:
        return None
    if {found.evidence.metrics[name].unit for name in over.names} != {"percent"}:
        return None
    shown = _best(over)
    low = min(float(over.runs[place].min()) for place in shown)
    high = max(float(over.runs[place].max()) for place in shown)
    thresholds = np.linspace(low, high, 121)
    shares = {
        over.cells[place]: profiles.performance_profile(over.runs[place], thresholds)
        for place in shown
    }
    cut = f" The {len(shown)} of {len(over.cells)} with the highest means."
    caption = (
        f"Share of all scores of a cell's runs on {len(over.names)} benchmarks that lie above a"
        " score. A line above another everywhere is better everywhere; lines that cross are better"
        " at different benchmarks. No intervals: the lines describe these runs."
        f"{cut if len(shown) < len(over.cells) else ''}"
    )
    title = "Performance profile"
    return draw_profiles(thresholds, shares, "performance-profile", title=title, caption=caption)


def _best(over: Benchmarks) -> list[int]:
    """Return the places of the cells with the highest mean over benchmarks, in their order."""
    means = over.means.mean(axis=1)
    return sorted(sorted(range(len(means)), key=lambda place: -means[place])[:MOST_LINES])
