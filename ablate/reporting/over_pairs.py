"""One comparison over all its pairs of cells: mean, wins and verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.reporting.artifacts import MetricRow
from ablate.reporting.effects import EffectRow, margin_of
from ablate.reporting.findings import Findings
from ablate.stats.estimate import Estimate
from ablate.stats.multiplicity import adjust
from ablate.stats.paired import exact_sign_test, mean_over_levels
from ablate.stats.verdicts import Verdict, decide


@dataclass(frozen=True)
class OverPairs:
    """What all valid pairs of a comparison say of one metric."""

    mean: Estimate
    """Groups of pairs are its replicates."""
    pairs: int
    groups: int
    """Of pairs that share no cell with one another."""
    wins: int
    """Groups whose mean is on the good side of 0."""
    sign_p: float
    """Exact sign test, groups without a difference left out."""
    p_adjusted: float
    """Of the t test: Holm over the categories for a category, as it is for any other metric."""
    adjusted: bool
    """Whether it is one of several categories."""
    verdict: Verdict

    @property
    def said(self) -> str:
        """How many there are, in words."""
        if self.groups == self.pairs:
            return f"{self.pairs} pairs"
        return f"{self.groups} group{'' if self.groups == 1 else 's'} of {self.pairs} pairs"


def over_pairs(found: Findings, kind: str, metric: MetricRow) -> OverPairs:
    """Return the mean of a family's differences on a metric and what may be said of it.

    Pairs that share a cell (one DPO policy, several of PPO) are not independent: their mean counts
    once.
    """
    grouped = _grouped(found, kind, metric.metric)
    values = [math.fsum(group) / len(group) for group in grouped]
    mean = mean_over_levels(values)
    sign = -1 if metric.direction == "lower" else 1
    wins, losses = (sum(side * sign * v > 0 for v in values) for side in (1, -1))
    family = found.evidence.categories
    adjusted = metric.metric in family and len(family) > 1
    p_value = _holm(found, kind, family)[metric.metric] if adjusted else mean.p_value
    verdict = decide(
        *(mean, p_value),
        margin=margin_of(found.evidence, metric.metric),
        alpha=found.study.alpha,
        direction=metric.direction,
        invalid=not values,
    )
    return OverPairs(
        mean=mean,
        pairs=sum(map(len, grouped)),
        groups=len(grouped),
        wins=wins,
        sign_p=exact_sign_test(wins, losses) if len(grouped) > 1 else math.nan,
        p_adjusted=p_value,
        adjusted=adjusted,
        verdict=verdict,
    )


def _holm(found: Findings, kind: str, family: Sequence[str]) -> dict[str, float]:
    means = (
        mean_over_levels([math.fsum(g) / len(g) for g in _grouped(found, kind, name)])
        for name in family
    )
    return dict(zip(family, adjust([mean.p_value for mean in means], "holm"), strict=True))


def _grouped(found: Findings, kind: str, metric: str) -> list[list[float]]:
    """Return the valid differences of pairs, those that share a cell in one list."""
    groups: list[tuple[set[str], list[EffectRow]]] = []
    for row in found.rows(kind, metric):
        if row.verdict is Verdict.INVALID or math.isnan(row.effect.value):
            continue
        cells, rows = {row.treatment, row.control}, [row]
        for other in [group for group in groups if group[0] & cells]:
            groups.remove(other)
            cells, rows = cells | other[0], [*other[1], *rows]
        groups.append((cells, rows))
    return [[row.effect.value for row in rows] for _, rows in groups]
