"""The effects of a study: one row per contrast and metric, numbers only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import cast

from ablate.reporting.artifacts import Direction
from ablate.reporting.checks import inspect
from ablate.reporting.contrasts import Contrast
from ablate.reporting.evidence import Evidence
from ablate.stats.crossed import (
    Arm,
    crossed_difference,
    crossed_score,
    difference_components,
    item_difference,
    item_score,
)
from ablate.stats.estimate import Estimate
from ablate.stats.multiplicity import Correction, adjust
from ablate.stats.paired import tipping_seed_sd
from ablate.stats.power import detectable_effect, seeds_needed
from ablate.stats.seeds import seed_difference, seed_score
from ablate.stats.verdicts import Verdict, decide

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
    """One seed a cell: nothing is said about recipes."""
    SEEDS = "seeds only"
    """No item scores: Welch's interval over seeds."""
    PUBLISHED = "published"
    """Numbers of a paper: no items, no seeds; an interval only where standard errors are stated."""
    NONE = ""
    """Invalid."""


@dataclass(frozen=True)
class EffectRow:
    """One line of the effects table."""

    kind: str
    """Name of its family."""
    label: str
    treatment: str
    control: str
    metric: str
    effect: Estimate
    """Treatment minus control as a claim about the recipes; no interval with one seed a side."""
    checkpoint: Estimate
    """The same difference with an interval over items only: a claim about these checkpoints."""
    p_adjusted: float
    """Within the family: contrasts of this kind on this metric. The strictest one where the same
    two cells stand in several families."""
    p_equivalence: float
    """Larger p of two one-sided tests that the difference lies inside the margin; not adjusted."""
    shrunken: float
    """The difference drawn towards the mean of its family, by as much as noise explains its spread;
    what to expect of the largest one when it is run again. NaN in a family of fewer than three."""
    verdict: Verdict
    detectable: float
    """True difference that this design finds 8 times in 10, family counted; over items only where
    there is one seed."""
    seeds_to_resolve: int | None
    """Seeds a side at which the margin becomes detectable; None where more seeds cannot do it."""
    tipping_seed_sd: float
    """With one seed: the seed-to-seed SD above which the difference is no longer significant."""
    confirmatory: bool
    """Whether contrast and metric were declared before the results; the rest is exploratory."""
    basis: Basis
    """What the interval was made from."""
    invalid: tuple[str, ...]
    """Tripwires that fired."""
    warnings: tuple[str, ...]
    """Confounds and left-out runs to name beside the number."""
    run_ids: tuple[str, ...]
    """Runs behind the number, the control's included."""

    @property
    def shown(self) -> Estimate:
        """The recipe's interval, or with one seed the checkpoints'."""
        return self.effect if self.effect.defined else self.checkpoint


def common_seeds(evidence: Evidence, contrast: Contrast) -> tuple[int, ...]:
    """Return the seeds that both sides have finished, in order."""
    sides = (contrast.treatment, contrast.control)
    found = [{run.seed for run in evidence.finished(cell)} for cell in sides]
    return tuple(sorted(found[0] & found[1]))


def score_of(evidence: Evidence, cell: str, metric: str) -> Estimate:
    """Return a cell's score; with one seed its interval is over items only.

    The claim of the estimate says which. NaN where the cell has no such metric.
    """
    values = evidence.values(cell, metric)
    if not values:
        return UNKNOWN
    arm = evidence.arm(cell, metric, tuple(values))
    if arm is None:
        row = evidence.metric(metric)
        return seed_score(list(values.values()), n_items=row.n_items if row else 0)
    return crossed_score(arm) if arm.n_seeds > 1 else item_score(arm)


def effect_rows(
    evidence: Evidence, contrasts: Sequence[Contrast], metrics: Sequence[str]
) -> list[EffectRow]:
    """Return the effects of every contrast on every metric, adjusted family by family.

    The primary metric takes the study's correction, every other metric Benjamini-Hochberg.
    Contrasts without a finished pair of runs are left out.
    """
    rows: list[EffectRow] = []
    for metric in metrics:
        adjusted: list[EffectRow] = []
        for kind in dict.fromkeys(contrast.kind for contrast in contrasts):
            chosen = [c for c in contrasts if c.kind == kind and common_seeds(evidence, c)]
            drafts = [_draft(evidence, contrast, metric) for contrast in chosen]
            adjusted += _adjusted(evidence, [draft for draft in drafts if draft is not None])
        rows += [_decided(evidence, row) for row in _one_answer(adjusted)]
    return rows


def _draft(evidence: Evidence, contrast: Contrast, metric: str) -> EffectRow | None:
    """Return a row without p, verdict and detectable effect, which need the family."""
    seeds = common_seeds(evidence, contrast)
    sides = (contrast.treatment, contrast.control)
    if not all(evidence.values(cell, metric) for cell in sides):
        return None
    found = inspect(evidence, contrast, metric, seeds)
    margin = _margin(evidence, metric)
    if found.invalid:
        effect, checkpoint, basis, more = _without_interval(evidence, contrast, metric)
    else:
        effect, checkpoint, basis, more = _estimates(evidence, contrast, metric, margin)
    runs = [run for cell in sides for run in evidence.finished(cell) if run.seed in seeds]
    return EffectRow(
        kind=contrast.kind,
        label=contrast.label,
        treatment=contrast.treatment,
        control=contrast.control,
        metric=metric,
        effect=effect,
        checkpoint=checkpoint,
        p_adjusted=math.nan,
        p_equivalence=math.nan,
        shrunken=math.nan,
        verdict=Verdict.INCONCLUSIVE,
        detectable=math.nan,
        seeds_to_resolve=more,
        tipping_seed_sd=math.nan if effect.defined else tipping_seed_sd(checkpoint),
        confirmatory=contrast.declared and metric == evidence.study.primary,
        basis=basis,
        invalid=found.invalid,
        warnings=found.warnings,
        run_ids=tuple(dict.fromkeys(run.run_id for run in runs)),
    )


def _estimates(
    evidence: Evidence, contrast: Contrast, metric: str, margin: float
) -> tuple[Estimate, Estimate, Basis, int | None]:
    seeds = common_seeds(evidence, contrast)
    arms = _arms(evidence, contrast, metric, seeds)
    if arms is None:
        return _seeds_only(evidence, contrast, metric), UNKNOWN, Basis.SEEDS, None
    effect, checkpoint = crossed_difference(*arms), item_difference(*arms)
    more = None
    if margin > 0 and effect.defined:
        more = seeds_needed(difference_components(*arms), len(seeds), margin)
    return effect, checkpoint, Basis.CROSSED, more


def _without_interval(
    evidence: Evidence, contrast: Contrast, metric: str
) -> tuple[Estimate, Estimate, Basis, int | None]:
    """An invalid difference keeps its value, so that a reader sees what was thrown out."""
    effect = _seeds_only(evidence, contrast, metric)
    return replace(effect, low=math.nan, high=math.nan), UNKNOWN, Basis.NONE, None


def _arms(
    evidence: Evidence, contrast: Contrast, metric: str, seeds: Sequence[int]
) -> tuple[Arm, Arm] | None:
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


def _margin(evidence: Evidence, metric: str) -> float:
    """The declared margin is in points, so it says nothing about other units."""
    row = evidence.metric(metric)
    return evidence.study.margin if row is not None and row.unit == "percent" else math.nan


def _adjusted(evidence: Evidence, family: list[EffectRow]) -> list[EffectRow]:
    """Fill in what depends on the family: adjusted p and detectable effect."""
    if not family:
        return []
    study = evidence.study
    correction = cast(Correction, study.correction if family[0].confirmatory else "bh")
    valid = [math.nan if row.invalid else row.effect.p_value for row in family]
    alpha = study.alpha / (len(family) if correction in ("holm", "bonferroni") else 1)
    rows = []
    for row, p_value in zip(family, adjust(valid, correction), strict=True):
        error, degrees = row.shown.standard_error, row.shown.degrees
        smallest = detectable_effect(error, degrees, alpha=alpha) if row.shown.defined else math.nan
        rows.append(replace(row, p_adjusted=p_value, detectable=smallest))
    return rows


def _one_answer(rows: list[EffectRow]) -> list[EffectRow]:
    """Give a pair of cells that stands in several families its strictest correction in all.

    A ladder's switch from DPO to PPO is a step and a duel; one page must not call it both better
    and inconclusive.
    """
    strictest: dict[tuple[str, str], EffectRow] = {}
    for row in rows:
        other = strictest.setdefault((row.treatment, row.control), row)
        if row.p_adjusted > other.p_adjusted or row.detectable > other.detectable:
            p_value = max(row.p_adjusted, other.p_adjusted)
            detectable = max(row.detectable, other.detectable)
            strictest[row.treatment, row.control] = replace(
                row, p_adjusted=p_value, detectable=detectable
            )
    chosen = [strictest[row.treatment, row.control] for row in rows]
    return [
        replace(row, p_adjusted=strict.p_adjusted, detectable=strict.detectable)
        for row, strict in zip(rows, chosen, strict=True)
    ]


def _decided(evidence: Evidence, row: EffectRow) -> EffectRow:
    metric = evidence.metric(row.metric)
    direction: Direction = metric.direction if metric is not None else "none"
    verdict = decide(
        row.effect,
        row.p_adjusted,
        margin=_margin(evidence, row.metric),
        alpha=evidence.study.alpha,
        direction=direction,
        invalid=bool(row.invalid),
    )
    return replace(row, verdict=verdict)
