"""Reward models against what comes of them, cell by cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ablate.reporting import text
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.effects import score_of
from ablate.reporting.findings import Findings
from ablate.reporting.rank_correlation import rank_correlation
from ablate.reporting.tables import Cell, Table, cell_score, score_cell
from ablate.stats.crossed import Arm, crossed_score, item_score
from ablate.stats.estimate import Estimate
from ablate.stats.seeds import seed_score
from ablate.stats.verdicts import Verdict

REWARD = "reward_evaluation"
_PAIR_TASKS = {"accuracy": "ordinary", "accuracy_hard": "hard"}


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


def reward_score(found: Findings, cell: str, metric: str) -> Estimate:
    """Return a reward model's score: crossed over pairs and seeds, or over seeds alone."""
    values = found.evidence.values(cell, metric, REWARD)
    if not values:
        return Estimate(math.nan, math.nan, math.nan)
    arm = _pair_arm(found, cell, metric)
    if arm is None:
        return seed_score(list(values.values()))
    return crossed_score(arm) if arm.n_seeds > 1 else item_score(arm)


def _pair_arm(found: Findings, cell: str, metric: str) -> Arm | None:
    rows = []
    for run in found.study.runs_of(cell):
        if run.folder(REWARD) is None:
            continue
        by_stratum = found.evidence.items(run, REWARD).scores.get(("pair", "acc"), {})
        task = _PAIR_TASKS.get(metric)
        chosen = [items for stratum, items in sorted(by_stratum.items()) if stratum[1] == task]
        rows.append(np.concatenate([100 * items.values for items in chosen]) if chosen else None)
    known = [row for row in rows if row is not None]
    if not known or len(known) != len(rows) or len({len(row) for row in known}) != 1:
        return None
    return Arm({"pairs": np.stack(known)}, {"pairs": 1.0})


def _primary_title(found: Findings) -> str:
    metric = found.evidence.metric(found.study.primary)
    return text.label(found.study.primary) if metric is None else text.heading(metric)


def _reward_notes(found: Findings, cells: Sequence[str]) -> list[str]:
    notes = []
    steps = found.rows("reward_model")
    if steps:
        better = sum(row.verdict is Verdict.BETTER for row in steps)
        sentence = (
            f"Of {len(steps)} steps to a larger reward model, {better} gave a policy that is better"
        )
        worse = sum(row.verdict is Verdict.WORSE for row in steps)
        notes.append(f"{sentence} and {worse} one that is worse on {found.study.primary}.")
        if better == 0:
            least = [row.detectable for row in steps if not math.isnan(row.detectable)]
            seen = f" (detectable: {text.plain(min(least))} points or more)" if least else ""
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
