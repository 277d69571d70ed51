"""What has been tried of each job in this run, and what may still be."""

from __future__ import annotations

from dataclasses import replace

from ablate.execution.failures import Failure, FailureClass
from ablate.execution.fuse import Fall
from ablate.execution.retry import UNLUCKY, Decision, Ending, decide, was_exclusive
from ablate.execution.watching import Running

STOPPED = "stopped with the study; the next run goes on from its last checkpoint"
ENDED_BY_STOP = UNLUCKY | {FailureClass.PREEMPTED, FailureClass.TIMEOUT}
"""Failures that say nothing where the study itself was being stopped."""


class Ledger:
    """Counts further attempts, per job and in total, and decides on each."""

    def __init__(self, *, retries: int, budget: int) -> None:
        """Allow ``retries`` in vain to a job, ``budget`` to all together."""
        self._retries, self._budget = retries, budget
        self._fruitless: dict[str, int] = {}
        self._unborn: dict[str, int] = {}
        self._spent = 0
        self._falls: dict[str, Fall] = {}

    def judge(
        self, running: Running, failure: Failure, *, seconds: float, stopped: bool
    ) -> Decision:
        """Return what follows a failed attempt, and record that in the attempt's folder.

        ``seconds`` is how long it took; ``stopped`` tells that the job or the study was being
        stopped.
        """
        decision = self._decide(running, failure, stopped=stopped)
        name = running.job.fingerprint
        if not decision.retried:
            self._fruitless.pop(name, None)
            self._unborn.pop(name, None)
            self._falls[name] = Fall(running.job, failure, seconds)
        running.attempt.write_verdict(
            {**failure.as_json(), "next": decision.next, "final": not decision.retried}
        )
        return decision

    def falls(self, failed: set[str]) -> list[Fall]:
        """Return the jobs among ``failed`` that this run has given up."""
        return [fall for name, fall in self._falls.items() if name in failed]

    def _decide(self, running: Running, failure: Failure, *, stopped: bool) -> Decision:
        name, attempt = running.job.fingerprint, running.attempt
        if stopped and failure.kind in ENDED_BY_STOP:
            return Decision(True, STOPPED)
        further = attempt.got_further()
        if further:
            self._fruitless.pop(name, None)
        elif failure.kind in UNLUCKY:
            self._fruitless[name] = self._fruitless.get(name, 0) + 1
        exclusive = was_exclusive(attempt.request() or {}, attempt.exit())
        fruitless = self._fruitless.get(name, 0)
        self._unborn[name] = 0 if attempt.heartbeat() else self._unborn.get(name, 0) + 1
        ending = Ending(failure, running.config, exclusive, further, fruitless, self._unborn[name])
        decision = decide(ending, retries=self._retries)
        if not decision.costs:
            return decision
        if self._spent >= self._budget:
            spent = f"given up: the {self._budget} further attempts of this run are used up"
            return replace(decision, retried=False, next=spent)
        self._spent += 1
        return decision
