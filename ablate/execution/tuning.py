"""Tuning while a study runs: what finished trials scored decides which jobs come next."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from ablate.execution.book import JobState
from ablate.plan.build import Plan
from ablate.plan.job import Job
from ablate.plan.searching import Score
from ablate.plan.tuning import Tuning
from ablate.spec.load import LoadedStudy
from ablate.store.layout import Store
from ablate.store.scores import objective_of

DONE = (JobState.DONE, JobState.CACHED)
GIVEN_UP = (JobState.FAILED, JobState.SKIPPED)


class TuningGrowth:
    """Adds trials, and the results' runs once values are chosen, to a study's plan."""

    def __init__(self, loaded: LoadedStudy, plan: Plan, store: Store) -> None:
        """Begin; ``plan`` is the study's own, without any of its tuned cells' runs."""
        self._loaded, self._first, self._store = loaded, plan, store
        self._tuning = Tuning(loaded, plan)
        self._known: dict[str, Score] = {}
        self._failed: set[str] = set()

    def grow(self, plan: Plan, states: Mapping[str, JobState]) -> Plan:
        """Return the plan that is needed now.

        A trial whose job was given up counts as failed, for as long as it is: where the job is
        tried again after all, the search is replayed as if it had never failed.
        """
        if any(states.get(name) not in GIVEN_UP for name in self._failed):
            self._tuning, self._failed = Tuning(self._loaded, self._first), set()
        return self._tuning.plan(lambda job: self._read(job, states))

    def expected(self, plan: Plan) -> Plan:
        """Return the plan with what the search has not asked for yet; for counts and costs."""
        return max(self._tuning.prospect(), plan, key=lambda found: len(found.every_run))

    def jobs(self, states: Mapping[str, JobState]) -> Iterable[Job]:
        """Return every job that is needed now."""
        return self.grow(self._first, states).jobs

    def _read(self, job: Job, states: Mapping[str, JobState]) -> Score | None:
        name = job.fingerprint
        state = states.get(name)
        if state in GIVEN_UP:
            self._failed.add(name)
            return Score(math.nan, reason=f"{job.stage}-{name} {state}")
        # Only what the controller has found whole counts: it looks at contents, we do not.
        if state in DONE and name not in self._known:
            score = objective_of(self._store, job, self._tuning.tune.objective)
            if score is not None:
                self._known[name] = score
        return self._known.get(name) if state in DONE else None
