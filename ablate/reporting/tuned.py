"""What a study's tuning came to, replayed from the artifacts that are there."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ablate.plan.build import Plan
from ablate.plan.job import Job
from ablate.plan.searching import Score
from ablate.plan.tuning import Tuning
from ablate.spec.load import LoadedStudy
from ablate.store.layout import Store
from ablate.store.scores import objective_of


def tuned_plan(
    loaded: LoadedStudy, plan: Plan, store: Store, *, reasons: Mapping[str, str]
) -> tuple[Plan, Tuning]:
    """Return the plan of a study that tunes as far as the store allows, and its trials.

    ``reasons`` says by fingerprint why a job has no artifact; of others it is waited for.
    """
    tuning = Tuning(loaded, plan)
    metric = tuning.tune.objective

    def read(job: Job) -> Score | None:
        score = objective_of(store, job, metric)
        if score is None and job.fingerprint in reasons:
            return Score(math.nan, reason=reasons[job.fingerprint])
        return score

    return tuning.plan(read), tuning
