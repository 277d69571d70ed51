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


Rank = tuple[int, int]
"""Negative priority and position: what starts first is smallest."""


class Book:
    """The state of every job of a plan, in the plan's order."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        """Take ``jobs`` and what they read from; each runs once."""
        self.jobs: dict[str, Job] = {}
        self.states: dict[str, JobState] = {}
        self.failures: dict[str, Failure] = {}
        self.skipped: dict[str, str] = {}
        self.levels: dict[str, int] = {}
        """Priorities that a user gave; 0 where none was given."""
        self._position: dict[str, int] = {}
        self._order: list[str] = []
        self._readers: dict[str, list[str]] = {}
        self._missing: dict[str, int] = {}
        self._ready: list[Rank] = []
        self.add(jobs)

    def add(self, jobs: Iterable[Job]) -> list[Job]:
        """Take further jobs and what they read from; return those that were not known."""
        new = [job for job in with_upstream(jobs) if job.fingerprint not in self.jobs]
        for job in new:
            name = job.fingerprint
            self.jobs[name], self.states[name] = job, JobState.WAITING
            self._position[name] = len(self._order)
            self._order.append(name)
            self._readers[name] = []
        for job in new:
            inputs = {upstream.fingerprint for _, upstream in job.inputs}
            for upstream in inputs:
                self._readers[upstream].append(job.fingerprint)
            self._missing[job.fingerprint] = sum(not self._is_done(name) for name in inputs)
            broken = [name for name in inputs if name in self.failures or name in self.skipped]
            if broken:
                self.states[job.fingerprint] = JobState.SKIPPED
                self.skipped[job.fingerprint] = self._why_not(broken[0])
            elif not self._missing[job.fingerprint]:
                self._enter(job.fingerprint)
        return new

    def ready(self) -> list[Job]:
        """Return the jobs that can start now: by priority, then in the plan's order."""
        return [self.jobs[self._order[position]] for _, position in self._ready]

    def prioritize(self, names: Iterable[str], level: int) -> list[str]:
        """Give jobs a priority, and at least as high a one to what they wait for.

        Returns the jobs named.
        """
        named = [name for name in names if name in self.jobs]
        pending = list(named)
        while pending:
            name = pending.pop()
            if name not in named and self.levels.get(name, 0) >= level:
                continue
            waiting = self._remove(name)
            self.levels[name] = level
            if waiting:
                self._enter(name)
            inputs = (upstream.fingerprint for _, upstream in self.jobs[name].inputs)
            pending += [one for one in inputs if not self._is_done(one) and one not in named]
        return named

    def revive(self, name: str) -> list[Job]:
        """Let a failed job wait again, with the jobs that were skipped for it alone."""
        if self.states.get(name) is not JobState.FAILED:
            return []
        del self.failures[name]
        inputs = [upstream.fingerprint for _, upstream in self.jobs[name].inputs]
        if broken := [one for one in inputs if one in self.failures or one in self.skipped]:
            # Given up while it waited, and what it waited for has failed since.
            self.states[name], self.skipped[name] = JobState.SKIPPED, self._why_not(broken[0])
            return []
        self.states[name] = JobState.WAITING
        if not self._missing[name]:
            self._enter(name)
        revived = [self.jobs[name]]
        for reader in self._readers[name]:
            if self.states[reader] is JobState.SKIPPED:
                revived += self._unskip(reader)
        return revived

    def _unskip(self, name: str) -> list[Job]:
        bad = (JobState.FAILED, JobState.SKIPPED)
        inputs = [upstream.fingerprint for _, upstream in self.jobs[name].inputs]
        broken = [one for one in inputs if self.states[one] in bad]
        if broken:
            self.skipped[name] = self._why_not(broken[0])
            return []
        del self.skipped[name]
        self.states[name] = JobState.WAITING
        found = [self.jobs[name]]
        for reader in self._readers[name]:
            if self.states[reader] is JobState.SKIPPED:
                found += self._unskip(reader)
        return found

    def waiting(self) -> bool:
        """Tell whether a job is left that can start now."""
        return bool(self._ready)

    def start(self, job: Job) -> None:
        """An attempt of ``job`` is with the engine."""
        self._leave(job.fingerprint, JobState.RUNNING)

    def back(self, job: Job) -> None:
        """Let ``job`` wait again: its attempt is over and another one may follow."""
        self.states[job.fingerprint] = JobState.WAITING
        self._enter(job.fingerprint)

    def finish(self, job: Job, state: JobState) -> None:
        """Let the jobs that read from ``job`` start; ``state`` is DONE or CACHED."""
        self._leave(job.fingerprint, state)
        for reader in self._readers[job.fingerprint]:
            self._missing[reader] -= 1
            if not self._missing[reader] and self.states[reader] is JobState.WAITING:
                self._enter(reader)

    def reopen(self, job: Job) -> None:
        """Let a job that counted as done wait again, and its readers with it.

        What had only its records left is needed after all.
        """
        name = job.fingerprint
        self.states[name] = JobState.WAITING
        for reader in self._readers[name]:
            if self.states[reader] is JobState.WAITING and not self._missing[reader]:
                self._remove(reader)
            self._missing[reader] += 1
        if not self._missing[name]:
            self._enter(name)

    def fail(self, job: Job, failure: Failure) -> list[Job]:
        """Give ``job`` up; return the jobs that therefore are skipped now."""
        self._leave(job.fingerprint, JobState.FAILED)
        self.failures[job.fingerprint] = failure
        reason = _reason(job, failure)
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
            self._remove(name)
        self.states[name] = state

    def _is_done(self, name: str) -> bool:
        return self.states[name] in (JobState.DONE, JobState.CACHED)

    def _why_not(self, name: str) -> str:
        failure = self.failures.get(name)
        return _reason(self.jobs[name], failure) if failure else self.skipped[name]

    def _rank(self, name: str) -> Rank:
        return -self.levels.get(name, 0), self._position[name]

    def _enter(self, name: str) -> None:
        bisect.insort(self._ready, self._rank(name))

    def _remove(self, name: str) -> bool:
        """Take a job out of the ready ones; False where it was not among them."""
        rank = self._rank(name)
        index = bisect.bisect_left(self._ready, rank)
        if index == len(self._ready) or self._ready[index] != rank:
            return False
        del self._ready[index]
        return True


def _reason(job: Job, failure: Failure) -> str:
    return f"{job.stage}-{job.fingerprint} failed: {failure.kind}: {failure.message}"
