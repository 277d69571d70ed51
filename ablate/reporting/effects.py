"""The effects of a study: one row per contrast and metric, numbers only."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from ablate.reporting.artifacts import Direction
from ablate.reporting.checks import inspect
from ablate.reporting.contrasts import Contrast
from ablate.reporting.estimating import (
    Basis,
    Difference,
    common_seeds,
    difference,
    margin_of,
    score_of,
    without_interval,
)
from ablate.reporting.evidence import Evidence
from ablate.reporting.standing import Standing
from ablate.stats.crossed import Arm, Components, difference_components, matched_components
from ablate.stats.estimate import Estimate
from ablate.stats.multiplicity import Correction, adjust
from ablate.stats.paired import tipping_seed_sd
from ablate.stats.power import detectable_difference, detectable_effect, seeds_needed
from ablate.stats.shrinkage import shrunken
from ablate.stats.simultaneous import max_t_of
from ablate.stats.verdicts import Verdict, decide, equivalence_p

__all__ = ["Basis", "EffectRow", "decided", "effect_rows", "margin_of", "score_of"]


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
    """Seeds a side at which the margin of the primary metric becomes detectable; None where more
    seeds cannot do it, and for every other metric."""
    tipping_seed_sd: float
    """With one seed: the seed-to-seed SD above which the difference is no longer significant at
    the study's alpha, uncorrected."""
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
    standing: Standing | None = None
    """Look that the comparison stands at, where the study declares looks."""

    @property
    def is_one_seed(self) -> bool:
        """Whether one seed a side is all that is known: none is borrowed, none is published."""
        return self.effect.n_seeds < 2 and self.basis in (Basis.ITEMS, Basis.SEEDS)

    @property
    def shown(self) -> Estimate:
        """The recipe's interval, or with one seed the checkpoints'."""
        return self.effect if self.effect.defined else self.checkpoint


@dataclass(frozen=True)
class _Draft:
    """A row whose family is not known yet, and the item scores behind it."""

    row: EffectRow
    difference: Difference


def effect_rows(
    evidence: Evidence, contrasts: Sequence[Contrast], metrics: Sequence[str]
) -> list[EffectRow]:
    """Return the effects of every contrast on every metric, adjusted family by family.

    Declared families take the study's correction on the primary metric; everything else is
    exploratory and takes Benjamini-Hochberg. Contrasts without a finished pair of runs are left
    out.
    """
    rows: list[EffectRow] = []
    for metric in metrics:
        adjusted: list[EffectRow] = []
        for kind in dict.fromkeys(contrast.kind for contrast in contrasts):
            chosen = [c for c in contrasts if c.kind == kind and common_seeds(evidence, c)]
            drafts = [_draft(evidence, contrast, metric) for contrast in chosen]
            adjusted += _adjusted(evidence, [draft for draft in drafts if draft is not None])
        rows += [decided(evidence, row) for row in _one_answer(adjusted)]
    return rows


def _draft(evidence: Evidence, contrast: Contrast, metric: str) -> _Draft | None:
    """Return a row without what depends on its family; None where a side has no such metric."""
    seeds = common_seeds(evidence, contrast)
    sides = (contrast.treatment, contrast.control)
    if not all(_stated(evidence, cell, metric) for cell in sides):
        return None
    tripped = inspect(evidence, contrast, metric, seeds)
    measure = without_interval if tripped.invalid else difference
    found = measure(evidence, contrast, metric)
    runs = [
        run
        for cell in sides
        for run in evidence.finished(cell)
        if run.seed in seeds or evidence.source(cell)
    ]
    row = EffectRow(
        kind=contrast.kind,
        label=contrast.label,
        treatment=contrast.treatment,
        control=contrast.control,
        metric=metric,
        effect=found.effect,
        checkpoint=found.checkpoint,
        p_adjusted=math.nan,
        p_equivalence=equivalence_p(found.effect, margin_of(evidence, metric)),
        shrunken=math.nan,
        verdict=Verdict.INCONCLUSIVE,
        detectable=math.nan,
        seeds_to_resolve=None,
        tipping_seed_sd=_tipping(found, evidence.study.alpha),
        confirmatory=contrast.declared and metric == evidence.study.primary,
        basis=found.basis,
        invalid=tripped.invalid,
        warnings=tripped.warnings,
        run_ids=tuple(dict.fromkeys(run.run_id for run in runs)),
        standing=evidence.standing(*sides),
    )
    return _Draft(row, found)


def _stated(evidence: Evidence, cell: str, metric: str) -> bool:
    """Whether a cell has the metric; what a publication leaves blank it has not."""
    values = evidence.values(cell, metric)
    blank = evidence.source(cell) and all(math.isnan(value) for value in values.values())
    return bool(values) and not blank


def _tipping(found: Difference, alpha: float) -> float:
    """With one seed: the seed SD that would undo the difference; else NaN."""
    about_recipes = found.effect.defined and found.basis is not Basis.ITEMS
    return math.nan if about_recipes else tipping_seed_sd(found.checkpoint, alpha=alpha)


def _adjusted(evidence: Evidence, drafts: Sequence[_Draft]) -> list[EffectRow]:
    """Fill in what depends on the family."""
    if not drafts:
        return []
    study, family = evidence.study, [draft.row for draft in drafts]
    correction = study.correction if family[0].confirmatory else "bh"
    strict = correction in ("holm", "max-t")
    alpha = study.alpha / (len(family) if strict else 1)
    p_values = _p_adjusted(evidence, drafts, correction)
    expected = shrunken(
        [math.nan if row.invalid else row.effect.value for row in family],
        [row.effect.standard_error for row in family],
    )
    rows = []
    for draft, p_value, drawn in zip(drafts, p_values, expected, strict=True):
        more, standing = None, draft.row.standing
        level = alpha if standing is None else standing.look.level(alpha)
        if draft.row.metric == study.primary:
            more = _seeds_to_resolve(draft, margin_of(evidence, study.primary), level)
        filled = replace(draft.row, p_adjusted=p_value, detectable=_detectable(draft, level))
        rows.append(replace(filled, shrunken=drawn, seeds_to_resolve=more))
    return rows


def _components(draft: _Draft) -> Components | None:
    """Return the components behind an interval that crosses items and seeds; else None."""
    measures = {Basis.CROSSED: difference_components, Basis.MATCHED: matched_components}
    arms, measure = draft.difference.arms, measures.get(draft.row.basis)
    if arms is None or measure is None or not draft.row.effect.defined:
        return None
    return measure(*arms)


def _detectable(draft: _Draft, alpha: float) -> float:
    shown, parts = draft.row.shown, _components(draft)
    if parts is not None:
        return detectable_difference(parts, draft.row.effect.n_seeds, alpha=alpha)
    if not shown.defined:
        return math.nan
    return detectable_effect(shown.standard_error, shown.degrees, alpha=alpha)


def _p_adjusted(evidence: Evidence, drafts: Sequence[_Draft], correction: str) -> list[float]:
    """Return adjusted p-values; max-t needs the items of all, and is Holm's without them."""
    valid = [_p_value(draft.row) for draft in drafts]
    if correction != "max-t":
        return adjust(valid, cast(Correction, correction))
    known = [d for d, p in zip(drafts, valid, strict=True) if not math.isnan(p)]
    if any(d.difference.arms is None for d in known):
        return adjust(valid, "holm")
    arms: dict[str, Arm] = {}
    pairs = []
    for draft in known:
        assert draft.difference.arms is not None
        # Two contrasts may have finished other seeds of one cell.
        names = [f"{name} {len(arms)}" for name in (draft.row.treatment, draft.row.control)]
        found = []
        for name, arm in zip(names, draft.difference.arms, strict=True):
            same = next((key for key, other in arms.items() if other is arm), None)
            arms.setdefault(same or name, arm)
            found.append(same or name)
        pairs.append((found[0], found[1]))
    row = drafts[0].row
    seed = zlib.crc32(f"{evidence.study.name}/{row.kind}/{row.metric}".encode())
    raw = [p for p in valid if not math.isnan(p)]
    adjusted = iter(max_t_of(arms, pairs, p_values=raw, seed=seed))
    return [p if math.isnan(p) else next(adjusted) for p in valid]


def _p_value(row: EffectRow) -> float:
    """Return what enters the family: before its first look a comparison counts, and finds 1."""
    if row.invalid:
        return math.nan
    is_early = row.standing is not None and not row.standing.is_reached
    return 1.0 if is_early else row.effect.p_value


def _seeds_to_resolve(draft: _Draft, margin: float, alpha: float) -> int | None:
    parts = _components(draft)
    if parts is None or not margin > 0:
        return None
    return seeds_needed(parts, draft.row.effect.n_seeds, margin, alpha=alpha)


def _one_answer(rows: list[EffectRow]) -> list[EffectRow]:
    """Give a pair of cells that stands in several families its strictest correction in all.

    A ladder's switch from DPO to PPO is a step and a duel; one page must not call it both better
    and inconclusive. What the study did not declare makes nothing stricter that it did.
    """
    chosen: dict[tuple[str, str], EffectRow] = {}
    for row in sorted(rows, key=lambda row: not row.confirmatory):
        other = chosen.setdefault((row.treatment, row.control), row)
        if row.confirmatory >= other.confirmatory:
            p_value = _larger(row.p_adjusted, other.p_adjusted)
            smallest = _larger(row.detectable, other.detectable)
            # None is more than any number of seeds.
            counts = (row.seeds_to_resolve, other.seeds_to_resolve)
            seeds = None if None in counts else max(filter(None, counts))
            chosen[row.treatment, row.control] = replace(
                other, p_adjusted=p_value, detectable=smallest, seeds_to_resolve=seeds
            )
    answers = [chosen[row.treatment, row.control] for row in rows]
    return [
        replace(
            row,
            p_adjusted=answer.p_adjusted,
            detectable=answer.detectable,
            seeds_to_resolve=answer.seeds_to_resolve,
        )
        for row, answer in zip(rows, answers, strict=True)
    ]


def _larger(one: float, other: float) -> float:
    return other if math.isnan(one) or other > one else one


def decided(evidence: Evidence, row: EffectRow) -> EffectRow:
    """Return the row with the verdict that its adjusted p, margin and direction give."""
    if row.standing is not None and not (row.standing.is_reached or row.invalid):
        return replace(row, verdict=Verdict.INCONCLUSIVE)
    metric = evidence.metric(row.metric)
    direction: Direction = metric.direction if metric is not None else "none"
    verdict = decide(
        row.effect,
        row.p_adjusted,
        margin=margin_of(evidence, row.metric),
        alpha=evidence.study.alpha,
        direction=direction,
        invalid=bool(row.invalid),
    )
    return replace(row, verdict=verdict)
