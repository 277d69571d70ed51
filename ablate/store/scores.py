"""One number of an evaluation's artifact, for what decides by results while a study runs."""

from __future__ import annotations

import json
import math
from typing import Any

from ablate.plan.job import Job
from ablate.plan.searching import Score
from ablate.store.layout import Store


def objective_of(store: Store, job: Job, metric: str) -> Score | None:
    """Return what an evaluation says of a metric; None where it has no whole artifact.

    The value is NaN, with the reason, where the metric is absent or not finite and where the
    evaluation calls its own scores invalid.
    """
    folder = store.records(job.stage, job.fingerprint)
    if folder is None:
        return None
    try:
        record: dict[str, Any] = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        rows = {row["metric"]: row for row in record["metrics"]}
        invalid = [str(reason) for reason in record.get("invalid") or ()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Score(math.nan, reason=f"scores.json cannot be read ({error})")
    if invalid:
        return Score(math.nan, reason=f"invalid: {'; '.join(invalid)}")
    value = rows.get(metric, {}).get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        what = f"has no finite {metric}" if metric in rows else f"has no {metric}"
        return Score(math.nan, reason=f"the evaluation {what}")
    return Score(float(value), lower=rows[metric].get("direction") == "lower")
