"""When to ask anew which jobs are worth starting before a deadline or within a budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from ablate.execution.book import JobState
from ablate.execution.options import Ahead
from ablate.plan.build import Run
from ablate.plan.estimate import Estimator
from ablate.plan.fitting import Limits, fit
from ablate.plan.job import Job

AGAIN_SECONDS = 20.0
"""After which the choice is made anew although no job has ended."""
LARGEST_SHARE = 0.02
"""Of the controller's time spent on choosing: a large study is looked at less often."""

FINISHED = frozenset({JobState.DONE, JobState.CACHED})

Wanted = Callable[[Ahead], Collection[str] | None]


class CompleteRuns:
    """Chooses what completes the most runs, in paired order, before a deadline or in a budget."""

    def __init__(
        self, runs: Sequence[Run], estimator: Estimator, *, devices: Callable[[Job], int]
    ) -> None:
        """Take ``runs`` in order, see `ablate.plan.fitting.paired_order`."""
        self.runs = runs
        """Further ones may be given while the study runs."""
        self._estimator, self._devices = estimator, devices

    def __call__(self, ahead: Ahead) -> Collection[str] | None:
        """Return the jobs of the runs that fit, and those that no run is known to need."""
        if ahead.seconds is None and ahead.device_seconds is None:
            return None
        lost = {JobState.FAILED, JobState.SKIPPED}
        done = {name for name, state in ahead.states.items() if state in FINISHED}
        alive = [
            run
            for run in self.runs
            if not any(ahead.states.get(job.fingerprint) in lost for job in run.jobs.values())
        ]
        seconds = {
            job.fingerprint: self._estimator.job(job).seconds
            * (1.0 - ahead.fractions.get(job.fingerprint, 0.0))
            for run in alive
            for job in run.jobs.values()
        }
        limits = Limits(ahead.slots, ahead.seconds, ahead.device_seconds)
        found = fit(alive, seconds, limits, done=done, devices=self._devices)
        needed = {job.fingerprint for run in self.runs for job in run.jobs.values()}
        return found.jobs | (ahead.states.keys() - needed)


class Choice:
    """The last choice, and whether it is still good."""

    def __init__(self, wanted: Wanted | None) -> None:
        """Ask ``wanted``; None takes every job."""
        self._wanted = wanted
        self._last: Collection[str] | None = None
        self._due = 0.0
        self._earliest = 0.0
        self._is_old = True

    def made(self, ahead: Callable[[], Ahead]) -> Collection[str] | None:
        """Return the jobs to start; None for all of them."""
        now = time.monotonic()
        if self._wanted is not None and now >= max(self._due, self._earliest):
            self._last, self._is_old = self._wanted(ahead()), False
            end = time.monotonic()
            self._due = end + AGAIN_SECONDS
            self._earliest = end + (end - now) / LARGEST_SHARE
        return self._last

    def forget(self) -> None:
        """Choose anew at the next chance: a job has ended or come, or a limit has changed."""
        self._due, self._is_old = 0.0, True

    def is_last_word(self) -> bool:
        """Tell whether nothing has changed since the choice; else it is made anew without delay."""
        if self._is_old:
            self._earliest = 0.0
        return not self._is_old
