"""Factorial analyses as tidy frames: one row a term, one row a level."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import pandas as pd

from ablate.errors import unknown_choice
from ablate.reporting.factorial import Analysed, factor_analyses
from ablate.reporting.findings import Findings

Rows = Literal["terms", "levels"]
_TERMS = (
    *("grid", "held", "metric", "term", "order", "df", "sum_sq", "F", "p", "share"),
    *("partial_eta_squared", "error", "error_df", "error_variance", "cells", "runs"),
)
_LEVELS = (
    *("grid", "held", "metric", "factor", "level", "mean", "mean_low", "mean_high"),
    *("difference", "low", "high", "p", "cells", "runs"),
)


def factors_of(found: Findings, rows: Rows = "terms") -> pd.DataFrame:
    """Return the analyses of every grid of a study on the headline metrics and the primary one.

    ``terms``: main effects and interactions with F and p, not adjusted. ``levels``: marginal means,
    and differences to the factor's first level, whose own is NaN. ``share`` and
    ``partial_eta_squared`` are fractions. Empty for a study without a grid. Raises ValueError for
    other rows.
    """
    if rows not in get_args(Rows):
        raise ValueError(unknown_choice("rows", rows, get_args(Rows)))
    names = dict.fromkeys([*found.evidence.headline, found.study.primary])
    analyses = [
        one
        for name in names
        if name in found.evidence.metrics
        for one in factor_analyses(found, name)
    ]
    make, columns = (_terms, _TERMS) if rows == "terms" else (_levels, _LEVELS)
    return pd.DataFrame([row for one in analyses for row in make(one)], columns=list(columns))


def _common(one: Analysed) -> dict[str, Any]:
    held = "; ".join(f"{name}={level}" for name, level in one.grid.held.items())
    return {"grid": " × ".join(one.result.levels), "held": held, "metric": one.metric}


def _terms(one: Analysed) -> Iterator[dict[str, Any]]:
    error = {
        "error": one.result.error_name,
        "error_df": one.result.error_degrees,
        "error_variance": one.result.error_variance,
        "cells": len(one.cells),
        "runs": one.result.runs,
    }
    for term in one.result.terms:
        yield {
            **_common(one),
            "term": term.name,
            "order": len(term.factors),
            "df": term.degrees,
            "sum_sq": term.sum_of_squares,
            "F": term.f_statistic,
            "p": term.p_value,
            "share": term.share,
            "partial_eta_squared": term.partial_eta_squared,
            **error,
        }


def _levels(one: Analysed) -> Iterator[dict[str, Any]]:
    for level in one.result.means:
        yield {
            **_common(one),
            "factor": level.factor,
            "level": level.level,
            "mean": level.mean.value,
            "mean_low": level.mean.low,
            "mean_high": level.mean.high,
            "difference": level.difference.value,
            "low": level.difference.low,
            "high": level.difference.high,
            "p": level.difference.p_value,
            "cells": level.cells,
            "runs": level.runs,
        }
