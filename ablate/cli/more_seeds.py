"""Further seeds while a study runs: verdicts at a look decide which cells get the next ones."""

from __future__ import annotations

from collections.abc import Mapping

from ablate.execution.book import JobState
from ablate.plan.build import Plan, with_more_seeds
from ablate.reporting.looks import seeds_wanted
from ablate.spec.load import LoadedStudy
from ablate.store.layout import Store

ENDED = (JobState.DONE, JobState.CACHED, JobState.FAILED, JobState.SKIPPED)


class MoreSeeds:
    """Adds the runs of the next look to a study's plan, a function of the artifacts alone."""

    def __init__(self, loaded: LoadedStudy, store: Store) -> None:
        """Begin at the first look, which the study's own plan has."""
        self._loaded, self._store = loaded, store
        self._more: dict[str, int] = {}
        self._seen: tuple[object, ...] | None = None

    def expected(self, plan: Plan) -> Plan:
        """Return the plan itself: whether there is a next look is what the looks are for."""
        return plan

    def grow(self, plan: Plan, states: Mapping[str, JobState]) -> Plan:
        """Return the plan with the seeds that are needed now.

        A look is taken when the evaluation of every run that was asked for has ended, and once
        only: what was asked for stays so.
        """
        grown = with_more_seeds(plan, self._more, vary=self._loaded.study.seeds.vary)
        asked = [states.get(run.jobs["evaluation"].fingerprint) for run in grown.runs]
        if not asked or not all(state in ENDED for state in asked):
            return grown
        reasons = _reasons(states)
        seen = (len(grown.runs), tuple(sorted(reasons)))
        if seen == self._seen:
            return grown
        self._seen = seen
        wanted = seeds_wanted(self._loaded, plan, self._store, reasons=reasons)
        for cell, count in wanted.items():
            self._more[cell] = max(count, self._more.get(cell, 0))
        return with_more_seeds(plan, self._more, vary=self._loaded.study.seeds.vary)


def _reasons(states: Mapping[str, JobState]) -> dict[str, str]:
    """Return why jobs have no artifact, in the words that a report knows failures by."""
    said = {JobState.FAILED: "failed: given up", JobState.SKIPPED: "skipped: needs a failed job"}
    return {name: said[state] for name, state in states.items() if state in said}
