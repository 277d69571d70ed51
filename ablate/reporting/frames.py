"""Results as pandas frames and figures by name: the reporting part of the Python API."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ablate.reporting.effects import EffectRow
from ablate.reporting.evidence import Evidence
from ablate.reporting.findings import Findings, analyse
from ablate.reporting.records import StudyRecord
from ablate.reporting.results import results_frame
from ablate.reporting.study_figures import FIGURES, make_figure

__all__ = ["FIGURES", "analyse", "effects_frame", "load_results", "make_figure"]


def load_results(study: StudyRecord) -> pd.DataFrame:
    """Return one row per run, stage and metric; see `ablate.reporting.results.results_frame`."""
    return results_frame(Evidence(study))


def effects_frame(study: StudyRecord | Findings) -> pd.DataFrame:
    """Return one row per contrast and metric, as in the report; undefined numbers are NaN.

    ``low`` and ``high`` claim something about recipes; with one seed a side they are NaN and
    ``checkpoint_low`` and ``checkpoint_high`` hold the interval over items.
    """
    found = study if isinstance(study, Findings) else analyse(study)
    return pd.DataFrame([_record(row) for row in found.effects])


def _record(row: EffectRow) -> dict[str, Any]:
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
        "invalid": "; ".join(row.invalid),
        "warnings": "; ".join(row.warnings),
        "run_ids": " ".join(row.run_ids),
    }
