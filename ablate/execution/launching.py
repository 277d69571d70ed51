"""From a job that can start to an attempt with the engine: claim, look, intend, submit."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from ablate.execution.engines.protocol import Engine, Resources, Submission
from ablate.execution.failures import Failure, failure_from
from ablate.execution.linux import out_of_memory_kills
from ablate.execution.options import RunOptions
from ablate.execution.retry import FRESH_AFTER, LASTING, micro_batch, next_config, next_resources
from ablate.execution.watching import Pulse, Running
from ablate.plan.job import Job
from ablate.spec.config import Config
from ablate.store.attempts import Attempt, new_attempt
from ablate.store.code import code_digest
from ablate.store.commit import CommitRefused, commit
from ablate.store.layout import Store
from ablate.store.locks import Lock
from ablate.store.manifest import Manifest
from ablate.store.processes import is_alive, kill_session

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shared:
    """The job belongs to somebody else for now."""

    holder: Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """The artifact exists; ``recovered`` if a dead controller's attempt was committed now."""

    manifest: Manifest
    recovered: bool


@dataclass(frozen=True)
class Later:
    """The job asks for more of the hardware than was thought, and that is not free now."""


Launched = Running | Found | Shared | Later | Failure
"""What comes of a job that can start. A Failure is that of an earlier run or another study."""


class Launchpad:
    """Starts attempts for one study."""

    def __init__(
        self,
        store: Store,
        study: str,
        *,
        options: RunOptions,
        engine: Engine,
        levels: Mapping[str, int],
    ) -> None:
        """Start on ``engine`` in the name of ``study``; ``levels`` are priorities as of now."""
        self._store, self._study = store, study
        self._options, self._engine = options, engine
        self._levels = levels
        self._code = code_digest()
        self._shared: set[str] = set()
        self._tried: set[str] = set()
        self._needs: dict[str, Resources] = {}
        self._strangers: dict[str, Pulse] = {}

    def launch(self, job: Job) -> Launched:
        """Start an attempt, or say why that is not needed or not possible now."""
        claim = self._store.claim(job.fingerprint)
        if not claim.acquire(study=self._study):
            self._shared.add(job.fingerprint)
            return Shared(claim.holder())
        result: Launched | None = None
        try:
            result = self._launch_claimed(job, claim)
        finally:
            if not isinstance(result, Running):
                claim.release()
        return result

    def resources(self, job: Job) -> Resources:
        """Return what the job's next attempt asks of the hardware."""
        return self._needs.get(job.fingerprint) or self._options.resources(job)

    def _launch_claimed(self, job: Job, claim: Lock) -> Launched:
        manifest = self._store.intact(job.stage, job.fingerprint)
        if manifest is not None:
            return Found(manifest, recovered=False)
        last = self._last_attempt(job)
        if last is not None:
            earlier = self._settle(job, last, claim=claim)
            if earlier is not None:
                return earlier
            if not self._has_room(job, last):
                return Later()
        return self._submit(job, last, claim=claim)

    def _has_room(self, job: Job, last: Attempt) -> bool:
        """Tell whether what the job needs after its last attempt is free, and remember the need."""
        before, request = self.resources(job), last.request() or {}
        needs = next_resources(self._options.resources(job), request, failure=_failure_of(last))
        self._needs[job.fingerprint] = needs
        return needs == before or self._engine.capacity(needs) > 0

    def _last_attempt(self, job: Job) -> Attempt | None:
        """Return the last attempt that was submitted; clear away an intent that was not."""
        attempts = self._store.attempts(job.fingerprint)
        while attempts and attempts[-1].request() is None:
            self._store.discard(attempts.pop().folder)
        return attempts[-1] if attempts else None

    def _settle(self, job: Job, last: Attempt, *, claim: Lock) -> Launched | None:
        """Deal with what a former controller left; None when a new attempt is due."""
        request = last.request() or {}
        if request.get("engine") == self._engine.name and last.exit() is None:
            handle = self._engine.reattach(self._submission(job, last))
            if handle is not None:
                config = _config(job, request)
                return self._running(job, last, config=config, handle=handle, claim=claim)
        if not self._is_gone(last):
            return Shared(last.heartbeat())
        failure = _failure_of(last)
        if failure is not None:
            return failure if self._stands(job, last, failure) else None
        if last.exit() is not None:
            try:
                return Found(commit(self._store, last), recovered=True)
            except CommitRefused as refusal:
                logger.warning("starting over: %s", refusal)
        return None

    def _stands(self, job: Job, last: Attempt, failure: Failure) -> bool:
        """Tell whether a failure that this run did not see is the last word about the job."""
        if job.fingerprint in self._shared:
            self._shared.discard(job.fingerprint)  # Once: a user may have it tried again.
            return failure.kind in LASTING
        if job.fingerprint in self._tried or self._options.keep_failed is None:
            return False
        self._tried.add(job.fingerprint)
        final = (last.verdict() or {}).get("final", failure.kind in LASTING)
        return bool(final) and self._options.keep_failed(job, failure)

    def _is_gone(self, attempt: Attempt) -> bool:
        """Make sure that a former controller's worker runs no more.

        One on this machine is killed: its controller is dead, for the claim was free. One on
        another machine cannot be asked, so its heartbeat must stay unchanged for long enough.
        """
        process = attempt.process()
        if process is None:
            return True
        alive = is_alive(process)
        if alive is None and attempt.exit() is None:
            pulse = self._strangers.setdefault(attempt.name, Pulse())
            pulse.look(int(attempt.heartbeat().get("counter", 0)), time.monotonic())
            return pulse.silent_seconds >= self._options.stale_seconds
        if alive:
            logger.warning("killing process %d, left by a dead controller", process.pid)
            return kill_session(process)
        return True

    def _submit(self, job: Job, last: Attempt | None, *, claim: Lock) -> Running:
        failure = _failure_of(last)
        request = (last.request() or {}) if last is not None else {}
        config = next_config(job.config, request.get("config"), failure=failure)
        trusted = failure is None or failure.kind not in FRESH_AFTER
        number = last.number + 1 if last is not None else 1
        carry = last if trusted else None
        folder = self._store.job(job.fingerprint)
        attempt = new_attempt(folder, number, carry=carry)
        attempt.write_request(self._request(job, attempt, config=config))
        if last is not None:
            last.drop_bulk()
        self._tried.add(job.fingerprint)
        handle = self._engine.submit(self._submission(job, attempt))
        return self._running(job, attempt, config=config, handle=handle, claim=claim)

    def _request(self, job: Job, attempt: Attempt, *, config: Config) -> dict[str, Any]:
        return {
            "schema": 1,
            "attempt": attempt.number,
            "fingerprint": job.fingerprint,
            "stage": job.stage,
            "config_class": type(config).__name__,
            "config": config.model_dump(mode="json"),
            "inputs": {
                role: {"stage": upstream.stage, "fingerprint": upstream.fingerprint}
                for role, upstream in job.inputs
            },
            "entry": self._options.entry_points[job.stage],
            "threads": self._options.local.threads,
            "beat_seconds": self._options.beat_seconds,
            "stale_seconds": self._options.stale_seconds,
            "study": self._study,
            "engine": self._engine.name,
            "code": self._code,
            "resources": asdict(self.resources(job)),
            "micro_batch_asked": micro_batch(job.config) if config != job.config else None,
        }

    def _submission(self, job: Job, attempt: Attempt) -> Submission:
        level = self._levels.get(job.fingerprint, 0)
        return Submission(attempt.name, attempt.folder, self.resources(job), level)

    def _running(
        self, job: Job, attempt: Attempt, *, config: Config, handle: str, claim: Lock
    ) -> Running:
        return Running(
            job,
            config,
            attempt,
            handle,
            claim,
            started=time.monotonic(),
            devices=self.resources(job).devices,
            resources=self.resources(job),
            memory_kills=out_of_memory_kills(),
        )


def _config(job: Job, request: Mapping[str, Any]) -> Config:
    """Return the configuration that an attempt got; the job's own where its record is damaged."""
    try:
        return type(job.config).model_validate(request.get("config"))
    except ValidationError:
        return job.config


def _failure_of(attempt: Attempt | None) -> Failure | None:
    if attempt is None:
        return None
    if (judged := attempt.verdict()) is not None:
        return failure_from(judged)
    record = attempt.exit()
    if record is None or record.get("status") == "ok":
        return None
    return failure_from(record.get("failure"))
