"""Implicit rewards with and without their reference policy: what dropping it costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ablate.reporting import text
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.block_tables import REWARD, reward_difference, reward_score
from ablate.reporting.findings import Findings
from ablate.reporting.tables import Cell, Table, tone_of_verdict
from ablate.spec.online import IMPLICIT
from ablate.stats.estimate import Estimate
from ablate.stats.multiplicity import adjust
from ablate.stats.verdicts import Verdict, decide

WITH, WITHOUT = True, False


@dataclass(frozen=True)
class Pair:
    """One DPO policy as a reward, under both definitions."""

    name: str
    with_reference: str
    without: str
    """Cells."""


def reference_table(found: Findings) -> Table | None:
    """Return a row a policy: each accuracy without its reference minus that with it.

    None where no policy is evaluated both ways.
    """
    pairs = list(_pairs(found))
    metrics = _metrics(found, pairs)
    if not pairs or not metrics:
        return None
    columns = []
    for metric in metrics:
        differences = [
            reward_difference(found, pair.without, pair.with_reference, metric.metric)
            for pair in pairs
        ]
        p_values = adjust([difference.p_value for difference in differences], "bh")
        columns.append(
            [
                _field(found, pair, metric, (difference, p_value))
                for pair, difference, p_value in zip(pairs, differences, p_values, strict=True)
            ]
        )
    heads = [Cell(pair.name) for pair in pairs]
    return Table(
        "reference-free",
        "Implicit rewards without their reference minus with it, in points. Below: the 95 %"
        " interval, and the accuracy with → without.",
        ("policy as a reward", *(text.heading(metric) for metric in metrics)),
        tuple(zip(heads, *columns, strict=True)),
        (
            "Without the reference a reward is β log π alone, which favours what is likely under"
            " any policy. Shaded: better (▲, blue) or worse (▼, orange) without it. Exploratory:"
            " p-values are corrected by Benjamini-Hochberg over the policies.",
        ),
    )


def _pairs(found: Findings) -> Iterator[Pair]:
    """Yield cells that evaluate one implicit reward on the same pairs, with and without."""
    sides: dict[tuple[str, ...], dict[bool, str]] = {}
    for cell in found.study.cells:
        run = next((r for r in found.study.runs_of(cell) if r.folder(REWARD) is not None), None)
        config = found.evidence.config(run, REWARD) if run is not None else {}
        if run is None or config.get("reward") != IMPLICIT:
            continue
        trained = run.fingerprints.get(IMPLICIT) or run.fingerprints.get("policy", "")
        levels = found.study.levels_of(cell)
        shown = [v for k, v in levels.items() if not k.endswith("implicit_reference")]
        key = (trained, str(config.get("dataset")), str(config.get("aggregation")))
        side = bool(config.get("implicit_reference", WITH))
        pair = sides.setdefault(key, {})
        pair.setdefault(side, cell)
        pair_name = " · ".join(shown)
        if len(pair) == 2 and side in pair and pair[side] == cell:
            yield Pair(pair_name or pair[WITH], pair[WITH], pair[WITHOUT])


def _metrics(found: Findings, pairs: list[Pair]) -> list[MetricRow]:
    rows: dict[str, MetricRow] = {}
    for pair in pairs:
        for run in found.study.runs_of(pair.without):
            for name, row in found.evidence.scores(run, REWARD).items():
                if name in ("accuracy", "accuracy_hard") or _is_section(row):
                    rows.setdefault(name, row)
    return [row for row in rows.values() if row.unit == "percent"]


def _is_section(row: MetricRow) -> bool:
    plain = row.metric.startswith("accuracy")
    return row.level == "average" or (row.level == "category" and not plain)


def _field(
    found: Findings, pair: Pair, metric: MetricRow, difference: tuple[Estimate, float]
) -> Cell:
    change, p_value = difference
    if math.isnan(change.value):
        return Cell(text.DASH, tone="muted", hint="not scored both ways")
    margin, alpha = found.study.margin, found.study.alpha
    verdict = decide(change, p_value, margin=margin, alpha=alpha)
    before, after = (
        text.plain(reward_score(found, cell, metric.metric).value)
        for cell in (pair.with_reference, pair.without)
    )
    shown = text.interval(change) if change.defined else "no interval"
    symbol = f"{verdict.symbol} " if change.defined and verdict is not Verdict.INVALID else ""
    return Cell(
        f"{symbol}{text.signed(change.value)}",
        f"{shown}\n{before} → {after}",
        change.value,
        tone_of_verdict(verdict),
        f"{verdict.value}; adjusted p {text.p_text(p_value)}",
        low=change.low,
        high=change.high,
    )
