"""Which jobs are done, which can start, which never will; pure."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from enum import StrEnum

from ablate.execution.failures import Failure
from ablate.plan.job import Job, with_upstream


class JobState(StrEnum):
    """Where a job is."""

    WAITING = "waiting"
    """Not started, in this run."""
    RUNNING = "running"
    """An attempt is with the engine."""
    CACHED = "cached"
    """The artifact was there already."""
    DONE = "done"
    """The artifact was committed in this run."""
    FAILED = "failed"
    """Its attempts are used up."""
    SKIPPED = "skipped"
    """Never started, because a job upstream failed."""


class Book:
    """The state of every job of a plan, in the plan's order."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        """Take ``jobs`` and what they read from; each runs once."""
        self.jobs: dict[str, Job] = {job.fingerprint: job for job in with_upstream(jobs)}
        self.states = dict.fromkeys(self.jobs, JobState.WAITING)
        self.failures: dict[str, Failure] = {}
        self.skipped: dict[str, str] = {}
        self._position = {name: index for index, name in enumerate(self.jobs)}
        self._order = list(self.jobs)
        self._readers: dict[str, list[str]] = {name: [] for name in self.jobs}
        self._missing: dict[str, int] = {}
        for name, job in self.jobs.items():
            inputs = {upstream.fingerprint for _, upstream in job.inputs}
            self._missing[name] = len(inputs)
            for upstream in inputs:
                self._readers[upstream].append(name)
        self._ready = [self._position[name] for name in self.jobs if not self._missing[name]]

    def ready(self) -> list[Job]:
        """Return the jobs that can start now, in the plan's order."""
        return [self.jobs[self._order[position]] for position in self._ready]

    def waiting(self) -> bool:
        """Tell whether a job is left that can start now."""
        return bool(self._ready)

    def start(self, job: Job) -> None:
        """An attempt of ``job`` is with the engine."""
        self._leave(job.fingerprint, JobState.RUNNING)

    def back(self, job: Job) -> None:
        """Let ``job`` wait again: its attempt is over and another one may follow."""
        self.states[job.fingerprint] = JobState.WAITING
        bisect.insort(self._ready, self._position[job.fingerprint])

    def finish(self, job: Job, state: JobState) -> None:
        """Let the jobs that read from ``job`` start; ``state`` is DONE or CACHED."""
        self._leave(job.fingerprint, state)
        for reader in self._readers[job.fingerprint]:
            self._missing[reader] -= 1
            if not self._missing[reader] and self.states[reader] is JobState.WAITING:
                bisect.insort(self._ready, self._position[reader])

    def fail(self, job: Job, failure: Failure) -> list[Job]:
        """Give ``job`` up; return the jobs that therefore are skipped now."""
        self._leave(job.fingerprint, JobState.FAILED)
        self.failures[job.fingerprint] = failure
        reason = f"{job.stage}-{job.fingerprint} failed: {failure.kind}: {failure.message}"
        skipped: list[Job] = []
        pending = list(self._readers[job.fingerprint])
        while pending:
            name = pending.pop(0)
            if self.states[name] is JobState.WAITING:
                self._leave(name, JobState.SKIPPED)
                self.skipped[name] = reason
                skipped.append(self.jobs[name])
                pending += self._readers[name]
        return skipped

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return the number of jobs by stage and state, stages in the plan's order."""
        table: dict[str, dict[str, int]] = {}
        for name, job in self.jobs.items():
            row = table.setdefault(job.stage, {state.value: 0 for state in JobState})
            row[self.states[name].value] += 1
        return table

    def _leave(self, name: str, state: JobState) -> None:
        if self.states[name] is JobState.WAITING:
            index = bisect.bisect_left(self._ready, self._position[name])
            if index < len(self._ready) and self._ready[index] == self._position[name]:
                del self._ready[index]
        self.states[name] = state
