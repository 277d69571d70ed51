"""Scores and differences of a study's cells: which interval each gets, and what it claims."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ablate.reporting.contrasts import Contrast
from ablate.reporting.evidence import Evidence
from ablate.stats.borrowed import borrowed_difference, pooled_overlap, pooled_seed_sd
from ablate.stats.crossed import (
    Arm,
    crossed_difference,
    crossed_score,
    item_score,
    matched_difference,
)
from ablate.stats.estimate import Claim, Estimate, from_error
from ablate.stats.paired import checkpoint_difference
from ablate.stats.seeds import seed_difference, seed_score

UNKNOWN = Estimate(math.nan, math.nan, math.nan)


class Basis(StrEnum):
    """What the interval of a difference was made from."""

    CROSSED = "items and seeds"
    """Items and training seeds, seeds independent in the two cells."""
    MATCHED = "items and matched seeds"
    """The same where the study declares that seeds are paired."""
    BORROWED = "items and a borrowed seed SD"
    """One seed a cell; the spread over seeds is that of other cells, or declared."""
    ITEMS = "items only"
    """Nothing is said about recipes: one seed a cell, or the study claims checkpoints."""
    SEEDS = "seeds only"
    """No item scores: Welch's interval over seeds."""
    PUBLISHED = "published"
    """Numbers of a paper: no items, no seeds; an interval only where standard errors are stated."""
    NONE = ""
    """Invalid."""


@dataclass(frozen=True)
class Difference:
    """A difference of two cells on one metric, before its family is known."""

    effect: Estimate
    """What verdicts are about: recipes, or checkpoints where the study says so."""
    checkpoint: Estimate
    """With an interval over items only."""
    basis: Basis
    arms: tuple[Arm, Arm] | None = None
    """Item scores of both sides, where they are what the interval is made from."""


def common_seeds(evidence: Evidence, contrast: Contrast) -> tuple[int, ...]:
    """Return the seeds that both sides have finished, in order.

    Where the study declares looks, those of the look that the comparison stands at. A published
    row has no seed: the other side then keeps all of its own.
    """
    sides = (contrast.treatment, contrast.control)
    found = [{run.seed for run in evidence.finished(cell)} for cell in sides]
    own = [seeds for cell, seeds in zip(sides, found, strict=True) if not evidence.source(cell)]
    if all(found) and len(own) < 2:
        return tuple(sorted(own[0] if own else found[0]))
    standing = evidence.standing(*sides)
    shared = sorted(found[0] & found[1])
    return tuple(seed for seed in shared if standing is None or standing.counts(seed))


def score_of(evidence: Evidence, cell: str, metric: str) -> Estimate:
    """Return a cell's score; with one seed its interval is over items only.

    The claim of the estimate says which. NaN where the cell has no such metric. A published score
    has an interval only where its standard error is stated.
    """
    key = (cell, metric)
    if key not in evidence.estimates:
        evidence.estimates[key] = _score_of(evidence, cell, metric)
    return evidence.estimates[key]


def _score_of(evidence: Evidence, cell: str, metric: str) -> Estimate:
    values = evidence.values(cell, metric)
    if not values:
        return UNKNOWN
    if evidence.source(cell):
        return _published(evidence, cell, metric)
    arm = evidence.arm(cell, metric, tuple(values))
    if arm is None:
        row = evidence.metric(metric)
        return seed_score(list(values.values()), n_items=row.n_items if row else 0)
    return crossed_score(arm) if arm.n_seeds > 1 else item_score(arm)


def margin_of(evidence: Evidence, metric: str) -> float:
    """Return the smallest effect of interest on a metric in its unit; NaN where none is declared.

    The general margin holds for the primary metric and, as points, for every percentage.
    """
    analysis = evidence.study.analysis
    if metric in analysis.margins:
        return analysis.margins[metric]
    row = evidence.metric(metric)
    percent = row is not None and row.unit == "percent"
    return analysis.margin if percent or metric == analysis.primary else math.nan


def difference(evidence: Evidence, contrast: Contrast, metric: str) -> Difference:
    """Return ``treatment - control`` over the seeds that both have finished."""
    sides = (contrast.treatment, contrast.control)
    if any(evidence.source(cell) for cell in sides):
        return _with_published(evidence, contrast, metric)
    arms = _arms(evidence, contrast, metric)
    if arms is None:
        found = Difference(_seeds_only(evidence, contrast, metric), UNKNOWN, Basis.SEEDS)
    else:
        checkpoint = checkpoint_difference(*arms)
        effect, basis = _effect(evidence, arms, checkpoint, metric)
        found = Difference(effect, checkpoint, basis, arms)
    standing = evidence.standing(*sides)
    return found if standing is None else replace(found, effect=found.effect.at(standing.look))


def without_interval(evidence: Evidence, contrast: Contrast, metric: str) -> Difference:
    """Return an invalid difference: its value stays, so that a reader sees what was thrown out."""
    effect = _seeds_only(evidence, contrast, metric)
    return Difference(replace(effect, low=math.nan, high=math.nan), UNKNOWN, Basis.NONE)


def _effect(
    evidence: Evidence, arms: tuple[Arm, Arm], checkpoint: Estimate, metric: str
) -> tuple[Estimate, Basis]:
    analysis = evidence.study.analysis
    if analysis.claim == "checkpoints":
        return checkpoint, Basis.ITEMS
    if min(arm.n_seeds for arm in arms) > 1:
        if analysis.seeds == "matched":
            return matched_difference(*arms), Basis.MATCHED
        return crossed_difference(*arms), Basis.CROSSED
    if analysis.seed_sd is not None and metric == analysis.primary:
        lent = _Lent(analysis.seed_sd, math.inf, 0.0)
    else:
        lent = _lent(evidence, metric)
    if math.isnan(lent.seed_sd):
        return crossed_difference(*arms), Basis.ITEMS
    borrowed = borrowed_difference(
        *arms, seed_sd=lent.seed_sd, degrees=lent.degrees, overlap=lent.overlap
    )
    return borrowed, Basis.BORROWED


@dataclass(frozen=True)
class _Lent:
    """A spread over training seeds for cells that have one."""

    seed_sd: float
    degrees: float
    """Infinite for a declared one, which is taken as exact."""
    overlap: float
    """Part of its square that is the luck of single items."""


def _lent(evidence: Evidence, metric: str) -> _Lent:
    """Return the spread of the trained cells with several seeds, NaN where there are none.

    A starting point's seeds share one checkpoint and lend nothing.
    """
    trained = dict.fromkeys(run.cell for run in evidence.study.runs if run.kind == "policy")
    values = {cell: evidence.values(cell, metric) for cell in trained if not evidence.invalid(cell)}
    seed_sd, degrees = pooled_seed_sd([list(scores.values()) for scores in values.values()])
    several = [(cell, tuple(scores)) for cell, scores in values.items() if len(scores) > 1]
    arms = [arm for cell, seeds in several if (arm := evidence.arm(cell, metric, seeds))]
    return _Lent(seed_sd, degrees, pooled_overlap(arms))


def _arms(evidence: Evidence, contrast: Contrast, metric: str) -> tuple[Arm, Arm] | None:
    seeds = common_seeds(evidence, contrast)
    treatment = evidence.arm(contrast.treatment, metric, seeds)
    control = evidence.arm(contrast.control, metric, seeds)
    return (treatment, control) if treatment is not None and control is not None else None


def _seeds_only(evidence: Evidence, contrast: Contrast, metric: str) -> Estimate:
    seeds = common_seeds(evidence, contrast)
    row = evidence.metric(metric)
    sides = []
    for cell in (contrast.treatment, contrast.control):
        values = evidence.values(cell, metric)
        sides.append([values.get(seed, math.nan) for seed in seeds])
    return seed_difference(*sides, n_items=row.n_items if row else 0)


def _with_published(evidence: Evidence, contrast: Contrast, metric: str) -> Difference:
    """Nothing pairs with a paper's number: errors add up, and no claim about recipes is made."""
    treatment = score_of(evidence, contrast.treatment, metric)
    control = score_of(evidence, contrast.control, metric)
    error = math.hypot(treatment.standard_error, control.standard_error)
    value = treatment.value - control.value
    claim = Claim.CHECKPOINT
    found = from_error(value, error, degrees=math.inf, sizes=(0, 1), claim=claim)
    if evidence.study.analysis.claim == "checkpoints":
        return Difference(found, found, Basis.PUBLISHED)
    plain = from_error(value, math.nan, degrees=math.nan, sizes=(0, 1), claim=claim)
    return Difference(plain, found, Basis.PUBLISHED)


def _published(evidence: Evidence, cell: str, metric: str) -> Estimate:
    rows: Sequence[float] = [
        number
        for run in evidence.finished(cell)
        if (row := evidence.scores(run).get(metric)) is not None
        for number in (row.value, row.standard_error)
    ]
    value, error = rows[:2]
    claim = Claim.CHECKPOINT
    return from_error(value, error, degrees=math.inf, sizes=(0, 1), claim=claim)
