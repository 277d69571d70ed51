"""Reward models against what comes of them, cell by cell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ablate.evals.reward_rules import aggregation_rules
from ablate.reporting import text
from ablate.reporting.artifacts import Items, MetricRow, Stratum
from ablate.reporting.effects import score_of
from ablate.reporting.findings import Findings
from ablate.reporting.rank_correlation import rank_correlation
from ablate.reporting.tables import Cell, Table, cell_score, score_cell
from ablate.stats.crossed import (
    Arm,
    crossed_difference,
    crossed_score,
    item_difference,
    item_score,
)
from ablate.stats.estimate import Estimate, FloatArray
from ablate.stats.seeds import seed_difference, seed_score
from ablate.stats.verdicts import Verdict

REWARD = "reward_evaluation"
_PAIR_TASKS = {"accuracy": "ordinary", "accuracy_hard": "hard"}
_SUBSET = "accuracy_"
"""Before the name of a subset of pairs."""


def reward_table(found: Findings) -> Table | None:
    """Return each cell's reward model three ways: pair accuracy, best-of-N, downstream policy."""
    cells = [
        cell
        for cell in found.study.cells
        if any(run.folder(REWARD) for run in found.study.runs_of(cell))
    ]
    if not cells:
        return None
    metrics = _reward_metrics(found, cells)
    primary = found.evidence.metrics.get(found.study.primary)
    rows = []
    for cell in cells:
        fields = [score_cell(reward_score(found, cell, m.metric), m.unit) for m in metrics]
        if primary is not None:
            fields.append(cell_score(found, cell, primary))
        else:
            fields.append(Cell(text.DASH, tone="muted", hint="no such score"))
        rows.append((Cell(cell), *fields))
    return Table(
        "reward-models",
        "Each with the half width of its 95 % interval: pair accuracy over pairs and seeds,"
        " best-of-N over seeds.",
        ("cell", *(_title(m) for m in metrics), f"policy: {_primary_title(found)}"),
        tuple(rows),
        tuple(_reward_notes(found, cells)),
    )


def _title(metric: MetricRow) -> str:
    if metric.metric.startswith("best_of_"):
        return f"best of {metric.metric.removeprefix('best_of_')} (gold reward)"
    names = {"accuracy": "accuracy, ordinary (%)", "accuracy_hard": "accuracy, hard (%)"}
    return names.get(metric.metric, text.heading(metric))


def _reward_metrics(found: Findings, cells: Sequence[str]) -> list[MetricRow]:
    rows: dict[str, MetricRow] = {}
    for cell in cells:
        for run in found.study.runs_of(cell):
            for name, row in found.evidence.scores(run, REWARD).items():
                if name in _PAIR_TASKS or name.startswith("best_of_") or _is_benchmark(row):
                    rows.setdefault(name, row)
    return list(rows.values())


def _is_benchmark(row: MetricRow) -> bool:
    """Whether a metric is the score of a reward benchmark or of one of its sections."""
    return row.level == "average" or (
        row.level == "category" and not row.metric.startswith("accuracy")
    )


def role_of(found: Findings, cell: str) -> str:
    """Return where the scores of a cell's reward model are: of a published row, in its only one."""
    has_own = any(run.folder(REWARD) for run in found.study.runs_of(cell))
    return "evaluation" if not has_own and found.evidence.source(cell) else REWARD


def reward_score(found: Findings, cell: str, metric: str) -> Estimate:
    """Return a reward model's score: crossed over pairs and seeds, or over seeds alone."""
    role = role_of(found, cell)
    if role != REWARD:
        return score_of(found.evidence, cell, metric)
    values = found.evidence.values(cell, metric, role)
    if not values:
        return Estimate(math.nan, math.nan, math.nan)
    arm = _pair_arm(found, cell, metric)
    if arm is None:
        return seed_score(list(values.values()))
    return crossed_score(arm) if arm.n_seeds > 1 else item_score(arm)


def reward_difference(found: Findings, one: str, other: str, metric: str) -> Estimate:
    """Return the score of one cell's reward model minus another's, paired by pair where known.

    Without the pairs' scores it is Welch's over seeds, and without several seeds has no interval.
    """
    left, right = (_pair_arm(found, cell, metric) for cell in (one, other))
    paired = _keys(found, one) == _keys(found, other)
    if left is not None and right is not None and paired and _same_sizes(left, right):
        seeds = min(left.n_seeds, right.n_seeds)
        return (crossed_difference if seeds > 1 else item_difference)(left, right)
    sides = [
        list(found.evidence.values(cell, metric, role_of(found, cell)).values())
        for cell in (one, other)
    ]
    return seed_difference(*sides)


def _same_sizes(left: Arm, right: Arm) -> bool:
    sizes = [{name: rows.shape[1] for name, rows in arm.strata.items()} for arm in (left, right)]
    return sizes[0] == sizes[1]


def _keys(found: Findings, cell: str) -> frozenset[tuple[Stratum, tuple[str, ...]]]:
    """Return which pairs a cell's first evaluation scored."""
    for run in found.study.runs_of(cell):
        by_stratum = found.evidence.items(run, REWARD).scores.get(("pair", "acc"), {})
        return frozenset((stratum, items.keys) for stratum, items in by_stratum.items())
    return frozenset()


def _pair_arm(found: Findings, cell: str, metric: str) -> Arm | None:
    """Return scores by pair: all pairs of a kind alike, or subsets as a benchmark weighs them."""
    weights = {} if metric in _PAIR_TASKS else _subset_weights(metric)
    task = _PAIR_TASKS.get(metric)
    if task is None and not weights:
        return None
    by_run = []
    for run in found.study.runs_of(cell):
        if run.folder(REWARD) is None:
            continue
        by_stratum = found.evidence.items(run, REWARD).scores.get(("pair", "acc"), {})
        chosen = [(s, items) for s, items in sorted(by_stratum.items()) if task in (None, s[1])]
        by_run.append(_strata(chosen, weights))
    if not by_run or any(one.keys() != by_run[0].keys() or not one for one in by_run):
        return None
    if weights.keys() - by_run[0].keys() or len({str(_sizes(one)) for one in by_run}) > 1:
        return None
    stacked = {name: np.stack([one[name] for one in by_run]) for name in by_run[0]}
    arm = Arm(stacked, weights or {"pairs": 1.0})
    stored = list(found.evidence.values(cell, metric, REWARD).values())
    # A score that its pairs do not explain, such as one of another kind of pairs, has no items.
    known = len(stored) == arm.n_seeds and np.allclose(arm.seed_scores, stored, rtol=0, atol=0.01)
    return arm if known else None


def _strata(
    chosen: Sequence[tuple[Stratum, Items]], weights: Mapping[str, float]
) -> dict[str, FloatArray]:
    by_name: dict[str, list[FloatArray]] = {}
    for stratum, items in chosen:
        name = stratum[0] if weights else "pairs"
        if not weights or name in weights:
            by_name.setdefault(name, []).append(100 * items.values)
    return {name: np.concatenate(parts) for name, parts in by_name.items()}


def _sizes(strata: Mapping[str, FloatArray]) -> dict[str, int]:
    return {name: len(values) for name, values in strata.items()}


def _subset_weights(metric: str) -> dict[str, float]:
    """Return the share of every subset in a benchmark's section or score; empty for others."""
    for rule in aggregation_rules().values():
        label = rule.name.replace("-", "_")
        sections = {f"{label}_{section.name}": section for section in rule.sections}
        if metric in sections:
            weights = sections[metric].weights
            return {name: weight / sum(weights.values()) for name, weight in weights.items()}
    return {metric.removeprefix(_SUBSET): 1.0} if metric.startswith(_SUBSET) else {}


def _primary_title(found: Findings) -> str:
    metric = found.evidence.metric(found.study.primary)
    return text.label(found.study.primary) if metric is None else text.heading(metric)


def _reward_notes(found: Findings, cells: Sequence[str]) -> list[str]:
    notes = []
    steps = [row for row in found.rows("reward_model") if row.verdict is not Verdict.INVALID]
    if steps:
        better = sum(row.verdict is Verdict.BETTER for row in steps)
        sentence = (
            f"Of {len(steps)} steps to a larger reward model, {better} gave a policy that is better"
        )
        worse = sum(row.verdict is Verdict.WORSE for row in steps)
        lead = "" if any(row.confirmatory for row in steps) else "Exploratory: "
        notes.append(f"{lead}{sentence} and {worse} one that is worse on {found.study.primary}.")
        if all(row.verdict in (Verdict.EQUIVALENT, Verdict.INCONCLUSIVE) for row in steps):
            least = [row.detectable for row in steps if not math.isnan(row.detectable)]
            metric = found.evidence.metrics[found.study.primary]
            seen = f" (detectable: {text.amount(min(least), metric.unit)} or more)" if least else ""
            notes.append(
                "No downstream effect of reward-model size was found; that is no proof of none"
                f"{seen}."
            )
    correlation = rank_correlation(
        [reward_score(found, cell, "accuracy").value for cell in cells],
        [score_of(found.evidence, cell, found.study.primary).value for cell in cells],
    )
    if correlation.n == len(cells) > 3 and not math.isnan(correlation.spearman):
        value = f"{correlation.spearman:+.2f}".replace("-", text.MINUS)
        notes.append(
            f"Rank correlation of ordinary accuracy with the policy's {found.study.primary} over"
            f" {len(cells)} cells: {value} (descriptive)."
        )
    return notes
