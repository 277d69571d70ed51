"""Factorial analysis of cell x seed means: main effects, interactions, and their error.

Effect-coded least squares with type II sums of squares on a block of cells without holes: what
statsmodels gives as ``anova_lm(ols(...), typ=2)``, without its formulas, which are forty times
slower and would hold names that studies choose. The unit is a run, a cell under one seed. Three
errors, the first that there is data for:

* runs within cells, widened by items x cells where item scores are known (`items`): the claim is
  about these recipes on items like these, as for the intervals of single differences;
* runs within cells: about these recipes on these very items;
* with one run a cell the interaction of highest order, which is then assumed to be nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations, product

import numpy as np
from scipy import stats

from ablate.stats.blocks import Levels
from ablate.stats.components import ItemSpread
from ablate.stats.estimate import ROUNDING, Claim, Estimate, FloatArray, from_error

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
    scores: Cells
    """What was analysed."""
    error: ErrorTerm
    error_variance: float
    """Of one run."""
    error_degrees: float

    @property
    def runs(self) -> int:
        """How many there are over all cells."""
        return sum(map(len, self.scores.values()))

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
    scores, columns = _design(cells, levels)
    replicated = len(scores) > len(cells)
    terms = _terms(len(factors), len(factors) if replicated else len(factors) - 1)
    rest = _rest(scores, [columns[term] for term in terms])
    degrees = len(scores) - 1 - sum(columns[term].shape[1] for term in terms)
    error = _error(cells, rest, degrees=degrees, items=items)
    squares = {term: _square(term, terms, columns=columns, scores=scores) for term in terms}
    between = sum(squares.values()) + (0.0 if replicated else rest)
    lines = [
        _term(tuple(factors[place] for place in term), square, columns[term].shape[1], error=error)
        for term, square in squares.items()
    ]
    return Factorial(
        levels=levels,
        terms=tuple(
            replace(line, share=line.sum_of_squares / between if between > 0 else math.nan)
            for line in lines
        ),
        means=tuple(_means(cells, levels, error)),
        scores=cells,
        error=error.term,
        error_variance=error.variance,
        error_degrees=error.degrees,
    )


def marginal_means(found: Factorial, factors: Sequence[str]) -> dict[Levels, Estimate]:
    """Return the mean at every combination of some factors' levels, over those of the others.

    Intervals are as in `Level.mean`: for holding these means against each other.
    """
    places = [list(found.levels).index(factor) for factor in factors]
    error = _Error(found.error, found.error_variance, found.error_degrees)
    groups: dict[Levels, list[Levels]] = {}
    for cell in found.scores:
        groups.setdefault(tuple(cell[place] for place in places), []).append(cell)
    return {key: _mean(found.scores, own, error) for key, own in groups.items()}


def _levels(cells: Cells, factors: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found = [tuple(dict.fromkeys(column)) for column in zip(*cells, strict=True)]
    if len(found) != len(factors) or len(found) < 2 or min(map(len, found)) < 2:
        raise ValueError(f"{[len(f) for f in found]} levels; two factors of two levels are needed")
    holes = [cell for cell in product(*found) if not len(cells.get(cell, ()))]
    if holes:
        raise ValueError(f"no run of {len(holes)} cells, such as {holes[0]}; give a full block")
    return dict(zip(factors, found, strict=True))


def _terms(factors: int, order: int) -> list[tuple[int, ...]]:
    """Return main effects, then interactions up to an order, as places of factors."""
    return [term for size in range(1, order + 1) for term in combinations(range(factors), size)]


def _design(
    cells: Cells, levels: Mapping[str, tuple[str, ...]]
) -> tuple[FloatArray, dict[tuple[int, ...], FloatArray]]:
    """Return the score of every run, and the columns of every term: 1, 0, and -1 for the last."""
    runs = [(cell, float(score)) for cell, scores in cells.items() for score in scores]
    scores = np.array([score for _, score in runs])
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite; leave its run out and say so")
    columns: dict[tuple[int, ...], FloatArray] = {}
    for term in _terms(len(levels), len(levels)):
        place = term[-1]
        names = list(levels.values())[place]
        codes = np.vstack([np.eye(len(names) - 1), np.full(len(names) - 1, -1.0)])
        own = codes[[names.index(cell[place]) for cell, _ in runs]]
        before = columns.get(term[:-1], np.ones((len(runs), 1)))
        columns[term] = np.einsum("ri,rj->rij", before, own).reshape(len(runs), -1)
    return scores, columns


def _rest(scores: FloatArray, columns: Sequence[FloatArray]) -> float:
    """Return the sum of squares that a mean and these columns leave."""
    design = np.hstack([np.ones((len(scores), 1)), *columns])
    centred = scores - scores.mean()
    left = centred - design @ np.linalg.lstsq(design, centred)[0]
    return float(left @ left)


def _square(
    term: tuple[int, ...],
    terms: Sequence[tuple[int, ...]],
    *,
    columns: Mapping[tuple[int, ...], FloatArray],
    scores: FloatArray,
) -> float:
    """Return a term's sum of squares after all terms that do not contain it."""
    others = [columns[other] for other in terms if not set(term) <= set(other)]
    return max(0.0, _rest(scores, others) - _rest(scores, [*others, columns[term]]))


def _error(cells: Cells, rest: float, *, degrees: int, items: ItemSpread | None) -> _Error:
    """Return the variance of one run that terms are tested against."""
    scale = max(1.0, max(abs(score) for scores in cells.values() for score in scores))
    if degrees < 1 or rest <= (ROUNDING * scale) ** 2 * len(cells):
        return _Error(ErrorTerm.NONE, math.nan, math.nan)
    variance = rest / degrees
    if max(map(len, cells.values())) < 2:
        return _Error(ErrorTerm.INTERACTION, variance, degrees)
    if items is None:
        return _Error(ErrorTerm.RUNS, variance, degrees)
    # As in the crossed interval: seeds and items, less what both hold, and never below either.
    seeds = variance * float(np.mean([1 / len(scores) for scores in cells.values()]))
    total = max(seeds + items.variance - items.overlap, seeds, items.variance)
    spread = seeds**2 / degrees + items.variance**2 / items.degrees
    return _Error(ErrorTerm.RUNS_AND_ITEMS, variance * total / seeds, total**2 / spread)


def _term(factors: tuple[str, ...], square: float, degrees: int, *, error: _Error) -> Term:
    if error.term is ErrorTerm.NONE:
        return Term(factors, degrees, square, math.nan, math.nan, math.nan, math.nan)
    f_statistic = square / degrees / error.variance
    p_value = float(stats.f.sf(f_statistic, degrees, error.degrees))
    partial = square / (square + error.variance * error.degrees)
    return Term(factors, degrees, square, f_statistic, p_value, math.nan, partial)


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
