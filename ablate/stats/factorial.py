"""Factorial analysis of cell x seed means: main effects, interactions, and their error.

Effect-coded least squares with type II sums of squares, by statsmodels, on a block of cells without
holes. No name of a factor or level is part of the formula: columns and codes are positions. The
unit is a run, a cell under one seed. Three errors, the first that there is data for:

* runs within cells, widened by items x cells where item scores are known (`items`): the claim is
  about these recipes on items like these, as for the intervals of single differences;
* runs within cells: about these recipes on these very items;
* with one run a cell the interaction of highest order, which is then assumed to be nothing else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from ablate.stats.blocks import Levels
from ablate.stats.components import ItemSpread
from ablate.stats.estimate import ROUNDING, Claim, Estimate, from_error

Cells = Mapping[Levels, Sequence[float]]
"""Scores of the runs of each cell, a cell named by its level of each factor."""


class ErrorTerm(StrEnum):
    """What differences between levels are measured against."""

    RUNS_AND_ITEMS = "runs within cells, and items × cells"
    RUNS = "runs within cells"
    INTERACTION = "the interaction of highest order"
    NONE = "none: nothing varies by chance"


@dataclass(frozen=True)
class Term:
    """A line of the analysis of variance: a main effect or an interaction."""

    factors: tuple[str, ...]
    degrees: int
    sum_of_squares: float
    """Type II: after all terms that do not contain this one."""
    f_statistic: float
    p_value: float
    share: float
    """Of the sum of squares between cells."""
    partial_eta_squared: float
    """Of this term's and the error's sum of squares; it is large by chance alone where the error
    has few degrees of freedom."""

    @property
    def name(self) -> str:
        """The factors, joined."""
        return " × ".join(self.factors)


@dataclass(frozen=True)
class Level:
    """A level's mean over all combinations of the other factors, each counted alike."""

    factor: str
    level: str
    mean: Estimate
    """For holding levels against each other: what all cells share is not in its interval."""
    difference: Estimate
    """To the factor's first level; undefined for that one."""
    cells: int
    runs: int


@dataclass(frozen=True)
class Factorial:
    """The analysis of one block of cells."""

    levels: Mapping[str, tuple[str, ...]]
    """Levels of each factor."""
    terms: tuple[Term, ...]
    """Main effects, then interactions by order; without the one that is the error."""
    means: tuple[Level, ...]
    cells: Mapping[Levels, Estimate]
    """Each cell's mean over its runs, with an interval of the same kind as the levels'."""
    error: ErrorTerm
    error_variance: float
    """Of one run."""
    error_degrees: float
    runs: int

    @property
    def error_name(self) -> str:
        """The error term for people, its factors included."""
        if self.error is ErrorTerm.INTERACTION:
            return f"{self.error.value} ({' × '.join(self.levels)})"
        return self.error.value


@dataclass(frozen=True)
class _Error:
    term: ErrorTerm
    variance: float
    degrees: float


def factorial(
    cells: Cells, factors: Sequence[str], *, items: ItemSpread | None = None
) -> Factorial:
    """Return main effects and interactions of a full block of cells.

    ``cells`` holds one entry for every combination of levels, with one run at least, in the order
    that levels are shown in; ``items`` is the spread of the same cells over items. Raises
    ValueError for fewer than two factors of two levels, a combination without runs, or a score
    that is not finite.
    """
    levels = _levels(cells, factors)
    frame = _frame(cells, levels)
    replicated = len(frame) > len(cells)
    order = len(factors) if replicated else len(factors) - 1
    columns = " + ".join(f"C(x{place}, Sum)" for place in range(len(factors)))
    fit = ols(f"y ~ ({columns}) ** {order}", frame).fit()
    table = anova_lm(fit, typ=2)
    error = _error(fit, cells, replicated=replicated, items=items)
    lines = [(_places(name), line) for name, line in table.iterrows() if name != "Residual"]
    squares = [float(line["sum_sq"]) for _, line in lines]
    between = sum(squares) + (0.0 if replicated else float(fit.ssr))
    terms = [
        _term(tuple(factors[p] for p in places), line, error=error, between=between)
        for places, line in lines
    ]
    return Factorial(
        levels=levels,
        terms=tuple(sorted(terms, key=lambda term: len(term.factors))),
        means=tuple(_means(cells, levels, error)),
        cells={cell: _mean(cells, [cell], error) for cell in cells},
        error=error.term,
        error_variance=error.variance,
        error_degrees=error.degrees,
        runs=len(frame),
    )


def _levels(cells: Cells, factors: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found = [tuple(dict.fromkeys(column)) for column in zip(*cells, strict=True)]
    if len(found) != len(factors) or len(found) < 2 or min(map(len, found)) < 2:
        raise ValueError(f"{[len(f) for f in found]} levels; two factors of two levels are needed")
    holes = [cell for cell in product(*found) if not cells.get(cell)]
    if holes:
        raise ValueError(f"no run of {len(holes)} cells, such as {holes[0]}; give a full block")
    return dict(zip(factors, found, strict=True))


def _frame(cells: Cells, levels: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Return one row per run; levels by position, so that no text reaches the formula."""
    codes = [{name: str(place) for place, name in enumerate(names)} for names in levels.values()]
    rows = [
        {**{f"x{i}": code[cell[i]] for i, code in enumerate(codes)}, "y": float(score)}
        for cell, scores in cells.items()
        for score in scores
    ]
    frame = pd.DataFrame(rows)
    if not np.isfinite(frame["y"]).all():
        raise ValueError("a score is not finite; leave its run out and say so")
    return frame


def _places(name: object) -> tuple[int, ...]:
    return tuple(int(place) for place in re.findall(r"C\(x(\d+),", str(name)))


def _error(fit: object, cells: Cells, *, replicated: bool, items: ItemSpread | None) -> _Error:
    """Return the variance of one run that terms are tested against."""
    rest, degrees = float(fit.ssr), float(fit.df_resid)  # type: ignore[attr-defined]
    scale = max(1.0, max(abs(score) for scores in cells.values() for score in scores))
    if rest <= (ROUNDING * scale) ** 2 * len(cells) or degrees < 1:
        return _Error(ErrorTerm.NONE, math.nan, math.nan)
    variance = rest / degrees
    if not replicated:
        return _Error(ErrorTerm.INTERACTION, variance, degrees)
    if items is None:
        return _Error(ErrorTerm.RUNS, variance, degrees)
    # As in the crossed interval: seeds and items, less what both hold, and never below either.
    seeds = variance * float(np.mean([1 / len(scores) for scores in cells.values()]))
    total = max(seeds + items.variance - items.overlap, seeds, items.variance)
    spread = seeds**2 / degrees + items.variance**2 / items.degrees
    return _Error(ErrorTerm.RUNS_AND_ITEMS, variance * total / seeds, total**2 / spread)


def _term(factors: tuple[str, ...], line: pd.Series, *, error: _Error, between: float) -> Term:
    square, degrees = float(line["sum_sq"]), int(line["df"])
    if error.term is ErrorTerm.NONE:
        f_statistic = p_value = partial = math.nan
    else:
        f_statistic = square / degrees / error.variance
        p_value = float(stats.f.sf(f_statistic, degrees, error.degrees))
        partial = square / (square + error.variance * error.degrees)
    share = square / between if between > 0 else math.nan
    return Term(factors, degrees, square, f_statistic, p_value, share, partial)


def _means(cells: Cells, levels: Mapping[str, tuple[str, ...]], error: _Error) -> list[Level]:
    found = []
    for place, (factor, names) in enumerate(levels.items()):
        first = [cell for cell in cells if cell[place] == names[0]]
        for name in names:
            own = [cell for cell in cells if cell[place] == name]
            difference = _mean(cells, own, error, against=first if name != names[0] else own)
            if name == names[0]:
                difference = Estimate(math.nan, math.nan, math.nan)
            runs = sum(len(cells[cell]) for cell in own)
            found.append(Level(factor, name, _mean(cells, own, error), difference, len(own), runs))
    return found


def _mean(
    cells: Cells, own: Sequence[Levels], error: _Error, *, against: Sequence[Levels] = ()
) -> Estimate:
    """Return the mean of cell means, less that of other cells, each cell counted alike."""
    value = variance = 0.0
    for chosen, sign in ((own, 1.0), (against, -1.0)):
        for cell in chosen:
            value += sign * float(np.mean(cells[cell])) / len(chosen)
            variance += error.variance / len(cells[cell]) / len(chosen) ** 2
    claim = Claim.DATASETS if error.term is ErrorTerm.INTERACTION else Claim.RECIPE
    sizes = (0, min(len(cells[cell]) for cell in own))
    spread = math.sqrt(variance) if variance >= 0 else math.nan
    return from_error(value, spread, degrees=error.degrees, sizes=sizes, claim=claim)
