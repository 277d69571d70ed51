"""Every number of a study as tidy tables: scores, and effects."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from ablate.reporting.effects import EffectRow
from ablate.reporting.evidence import Evidence
from ablate.reporting.findings import Findings
from ablate.reporting.records import RunRecord

EVALUATIONS = ("evaluation", "reward_evaluation")
OF_EPOCHS = "evaluation_checkpoint_"
"""Of the roles of evaluations of earlier checkpoints."""
TRAINED = ("sft", "reward_model", "policy")
COLUMNS = (
    *("study", "cell", "seed", "run_id", "stage", "metric", "level", "value", "n_items"),
    *("direction", "unit", "status", "fingerprint", "missing_reason"),
    *("source", "standard_error"),
)

EFFECT_COLUMNS = [
    *("kind", "label", "treatment", "control", "metric", "delta", "low", "high"),
    *("standard_error", "degrees", "checkpoint_low", "checkpoint_high", "n_items", "n_seeds"),
    *("p_value", "p_adjusted", "p_equivalence", "shrunken", "verdict", "confirmatory"),
    *("detectable", "tipping_seed_sd", "basis", "look", "invalid", "warnings", "run_ids"),
]


def results_frame(evidence: Evidence) -> pd.DataFrame:
    """Return one row per run, stage and metric; a missing run has one row with its reason.

    Levels of factors have columns of their own after ``cell``, named as in the study (with
    ``factor_`` before a name that is a column already). ``level`` is ``task``, ``category``,
    ``average`` or ``diagnostic``, ``last_step`` for the end of a training curve, or ``cost``.
    Undefined values are NaN. ``source`` says where published numbers are from, and
    ``standard_error`` is what the study states of them. ``invalid_reason`` is a column where any
    evaluation gives one.
    """
    factors = {name: _column(name) for name in evidence.study.factors}
    order = ["study", "cell", *factors.values(), *COLUMNS[2:]]
    rows = [
        {**{factors[key]: level for key, level in run.levels.items()}, **row}
        for run in evidence.study.runs
        for row in _rows(evidence, run)
    ]
    if any("invalid_reason" in row for row in rows):
        order.append("invalid_reason")
    return pd.DataFrame(rows, columns=order)


def _column(factor: str) -> str:
    return f"factor_{factor}" if factor in COLUMNS else factor


def _rows(evidence: Evidence, run: RunRecord) -> Iterator[dict[str, Any]]:
    common = {
        "study": evidence.study.name,
        "cell": run.cell,
        "seed": run.seed,
        "run_id": run.run_id,
        "status": run.status or "",
        "missing_reason": run.missing or "",
    }
    if run.folder("evaluation") is None:
        yield {**common, "stage": "evaluation", "metric": "", "value": math.nan}
    earlier = [role for role in run.artifacts if role.startswith(OF_EPOCHS)]
    for stage in (*EVALUATIONS, *earlier):
        mark = {**common, "stage": stage, "fingerprint": run.fingerprints.get(stage, "")}
        mark["source"] = evidence.file(run, stage).source
        if reasons := evidence.file(run, stage).invalid:
            mark["invalid_reason"] = "; ".join(reasons)
        for row in evidence.scores(run, stage).values():
            yield {**mark, **vars(row)}
    for unit, amount in run.spent.items():
        yield {**common, "stage": "run", "metric": unit, "level": "cost", "value": amount}
    for stage in TRAINED:
        curve = evidence.curve(run, stage)
        if curve is None:
            continue
        mark = {**common, "stage": stage, "fingerprint": run.fingerprints.get(stage, "")}
        for name, values in curve.metrics.items():
            last = float(values[-1])
            yield {**mark, "metric": name, "level": "last_step", "value": last}


def effects_of(found: Findings) -> pd.DataFrame:
    """Return one row per contrast and metric, as in the report; undefined numbers are NaN.

    ``delta`` is treatment minus control in the metric's unit. ``low`` and ``high`` claim something
    about recipes; with one seed a side they are NaN, and ``checkpoint_low`` and
    ``checkpoint_high`` hold the interval over items. ``verdict`` is one of better, worse, trivial,
    equivalent, inconclusive and invalid; ``confirmatory`` says whether the study declared the
    comparison before its results. docs/results.md describes every column.
    """
    return pd.DataFrame([effect_record(row) for row in found.effects], columns=EFFECT_COLUMNS)


def effect_record(row: EffectRow) -> dict[str, Any]:
    """Return one effect by the names of `EFFECT_COLUMNS`; undefined numbers are NaN."""
    return {
        "kind": row.kind,
        "label": row.label,
        "treatment": row.treatment,
        "control": row.control,
        "metric": row.metric,
        "delta": row.effect.value,
        "low": row.effect.low,
        "high": row.effect.high,
        "standard_error": row.effect.standard_error,
        "degrees": row.effect.degrees,
        "checkpoint_low": row.checkpoint.low,
        "checkpoint_high": row.checkpoint.high,
        "n_items": row.effect.n_items,
        "n_seeds": row.effect.n_seeds,
        "p_value": row.effect.p_value,
        "p_adjusted": row.p_adjusted,
        "p_equivalence": row.p_equivalence,
        "shrunken": row.shrunken,
        "verdict": str(row.verdict),
        "confirmatory": row.confirmatory,
        "detectable": row.detectable,
        "tipping_seed_sd": row.tipping_seed_sd,
        "basis": str(row.basis),
        "look": _look(row),
        "invalid": "; ".join(row.invalid),
        "warnings": "; ".join(row.warnings),
        "run_ids": " ".join(row.run_ids),
    }


def _look(row: EffectRow) -> float:
    """Return the number of the look that a comparison stands at; NaN where there is none."""
    there = row.standing is not None and row.standing.is_reached
    return float(row.standing.look.number) if there and row.standing is not None else math.nan
